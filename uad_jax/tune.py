r"""Command that tunes a config: trains changed copies, scores them on validation data.

  python -m uad_jax.tune --config=configs/aae.py:demo --trial='' \
    --trial='steps=(4000,); optimiser.learning_rate=1e-3'
  python -m uad_jax.tune --render                            writes docs/tuning.md

A trial is a config with changed values; '' changes nothing. Each trial is trained, or
takes over a run of the same training. Its anomaly maps of the validation scans with
lesions (`config.data.selection`) are scored by their pooled AUPRC, and the result is
stored in the run folder as trial-HASH.json. docs/tuning.md is made from these files and
from docs/tuning.jsonl, which keeps the trials of all machines. The test split is never
read.
"""

import json
import pathlib
import sys

from absl import flags
from ml_collections import ConfigDict, config_flags

from uad_jax import cli, model_card, parallel, registry, resume, run_folder
from uad_jax import experiment as experiments
from uad_jax.comparison.tuning_page import render, table
from uad_jax.evaluate import validate
from uad_jax.report import atomic_files
from uad_jax.report.atomic_files import read_json

FLAGS = flags.FLAGS


def with_changes(config: ConfigDict, changes: str) -> ConfigDict:
  """Returns a copy of a config with some values changed.

  Args:
    config: Config to copy.
    changes: 'KEY=VALUE; KEY=VALUE', with dotted keys, as `registry.assignments` reads.

  Raises:
    ValueError: The config has no such key, or the value is no literal or has another
      type than the config's.
  """
  config = config.copy_and_resolve_references().lock()
  for change in filter(None, map(str.strip, changes.split(';'))):
    try:
      config.update_from_flattened_dict(registry.assignments(change))
    except (ValueError, KeyError, TypeError) as error:
      raise ValueError(f"cannot change the config by '{change}': {error}") from None
  return config


def run_trial(name: str, config: ConfigDict, changes: str, runs: pathlib.Path) -> dict:
  """Trains a changed config, scores it on validation scans and stores the result.

  A result that is stored already is read and returned.

  Args:
    name: Config and data set, such as 'aae:demo'.
    config: Config without the changes.
    changes: Changed values, as `with_changes` takes them.
    runs: Folder that holds the run folders.

  Returns:
    Content of the trial's file: 'config' (`name`), 'seed', 'manifest' (fingerprint of
    the data), 'auprc' by anomaly map, 'scores' (options of the maps), 'steps' and
    'seconds' of the training.

  Raises:
    ValueError: `config.data.selection` is empty, or the changes are not possible.
  """
  config = with_changes(config, changes)
  folder = runs / f'{name.replace(":", "-")}-{registry.digest(config)}'
  path = folder / f'trial-{registry.fingerprint(config)}.json'
  if path.exists():
    return dict(read_json(path))
  kept = read_json(folder / 'model.json').get('data', '')
  experiment = experiments.build(config, kept)
  selection = run_folder.chosen_on(experiment)
  if selection is None:
    raise ValueError('config.data.selection names no split to choose settings on')
  with resume.alone(folder):
    resume.claim(folder, registry.plain(config), model_card.describe(experiment))
    state = resume.trained(experiment, folder)
  auprc = validate(
    experiment.method,
    state.params,
    state.stats,
    experiment.scorers,
    selection,
    experiments.evaluation_key(config),
    config.postprocess,
  )
  trial = {
    'config': name,
    'seed': config.seed,
    'manifest': experiments.digest(experiment),
    'auprc': auprc,
    'scores': registry.plain(config.scores),
    **read_json(folder / 'training.json'),
  }
  atomic_files.write_text(path, json.dumps(trial, indent=1))
  return trial


def main(_: list[str]) -> None:
  """Runs the trials of a config and prints their table, or writes docs/tuning.md.

  Raises:
    ValueError: No config is named.
  """
  runs = pathlib.Path(FLAGS.runs)
  if FLAGS.render:
    render(runs, pathlib.Path(FLAGS.output))
    print(FLAGS.output)
    return
  if FLAGS.config is None:
    raise ValueError('--config names the config to try settings of')
  argument = next(arg for arg in sys.argv if arg.startswith('--config='))
  path, _, data = argument.removeprefix('--config=').partition(':')
  name = f'{pathlib.Path(path).stem}:{data or "demo"}'
  trials = [
    {**run_trial(name, FLAGS.config, changes, runs), 'changes': changes}
    for changes in FLAGS.trial
  ]
  if parallel.leads():
    print(table(trials))


def define_flags() -> None:
  """Defines the command-line flags of this command."""
  config_flags.DEFINE_config_file('config', None, 'Config file, as for uad_jax.main.')
  flags.DEFINE_multi_string('trial', [''], "Changes, 'KEY=VALUE; KEY=VALUE'.")
  flags.DEFINE_string('runs', 'runs/tuning', 'Folder that holds the run folders.')
  flags.DEFINE_string('output', 'docs/tuning.md', 'Page to write.')
  flags.DEFINE_bool('render', False, 'Train nothing; write the page.')


if __name__ == '__main__':
  define_flags()
  cli.run(main)
