r"""Settings tried on validation scans; the test split is never read.

  python -m uad_jax.tune --config=configs/aae.py:demo --trial='' \
    --trial='steps=(4000,); optimiser.learning_rate=1e-3'
  python -m uad_jax.tune --render                            writes docs/tuning.md

A trial is a config with changed values; '' changes nothing. Each is trained (or taken
up from a run of the same training), its maps are made for the validation scans with
lesions (`config.data.selection`), and the pooled AUPRC of each is kept beside the run
as trial-HASH.json. The page is made from these and from docs/tuning.jsonl, which keeps
those of all machines.
"""

import ast
import itertools
import json
import pathlib
import sys

import jax
from absl import flags
from ml_collections import ConfigDict, config_flags

from uad_jax import benchmark, cli, parallel, registry, run_folder
from uad_jax import experiment as experiments
from uad_jax.evaluate import validate
from uad_jax.report import atomic_files
from uad_jax.report.atomic_files import read_json
from uad_jax.report.tables import markdown, number

FLAGS = flags.FLAGS
RECORDS = 'tuning.jsonl'
"""Beside the page: a line for each trial."""

HEAD = """# Settings tried

Written by `python -m uad_jax.tune --render` from stored trials. Each was chosen, if it
was, by the pooled AUPRC of its best map over validation scans with lesions; test scans
were not read. Minutes are those of the training, on one core that other jobs used too.
A trial is told by the keys in which it differs from today's config.
"""


def changed(config: ConfigDict, changes: str) -> ConfigDict:
  """The config with 'KEY=VALUE; KEY=VALUE' done to it; values as Python writes them.

  Raises:
    ValueError: No such key, or a value that cannot be read or has another type.
  """
  config = config.copy_and_resolve_references().lock()
  for change in filter(None, map(str.strip, changes.split(';'))):
    key, _, text = change.partition('=')
    try:
      value = ast.literal_eval(text.strip())
      config.update_from_flattened_dict({key.strip(): value})
    except (SyntaxError, ValueError, KeyError, TypeError) as error:
      raise ValueError(f"cannot change the config by '{change}': {error}") from None
  return config


def attempt(name: str, config: ConfigDict, changes: str, runs: pathlib.Path) -> dict:
  """What a trial found; read where it is stored, else trained and stored."""
  config = changed(config, changes)
  folder = runs / f'{name.replace(":", "-")}-{registry.digest(config)}'
  told = folder / f'trial-{registry.fingerprint(config)}.json'
  if told.exists():
    return json.loads(told.read_text())
  experiment = experiments.build(config)
  selection = run_folder.chosen_on(experiment)
  if selection is None:
    raise ValueError('config.data.selection names no split to choose settings on')
  run_folder.claim(folder, registry.plain(config))
  state = run_folder.trained(experiment, folder)
  key = jax.random.key(config.seed + 2)
  scored = validate(
    experiment.method,
    state.params,
    state.stats,
    experiment.scorers,
    selection,
    key,
    config.postprocess,
  )
  found = {
    'config': name,
    'seed': config.seed,
    'manifest': experiments.digest(experiment),
    'auprc': scored,
    'scores': registry.plain(config.scores),
    **read_json(folder / 'training.json'),
  }
  atomic_files.write_text(told, json.dumps(found, indent=1))
  return found


def told_apart(trained: dict, today: dict) -> str:
  """What a trained config has otherwise than today's; '' for nothing."""
  kept = [registry.without(c, *registry.AFTER_TRAINING) for c in (trained, today)]
  return '; '.join(f'{key}={a}' for key, a, _ in registry.differences(*kept, 'absent'))


def label(name: str, scores: dict, today: dict) -> str:
  """A map's name, with the options it has otherwise than the config's row today.

  A name that the config lacks is told by its first row of the same scorer. Of older
  trials the options were not kept.
  """
  if name not in scores:
    plain = set(today.get(name, ())) <= {'scorer'}
    return name if plain else f'{name} (options not kept)'
  options = scores[name]
  if options == today.get(name):
    return name
  alike = [row for row in today if today[row]['scorer'] == options['scorer']]
  row = name if name in today else next(iter(alike), options['scorer'])
  apart = registry.differences(options, today.get(row, {}), 'absent')
  told = ', '.join(f'{key}={a}' for key, a, _ in apart if key != 'scorer')
  return f'{row} ({told})' if told else row


def table(trials: list[dict]) -> str:
  """The trials of a config, the best first, each with its 'changes'."""
  rows = []
  for trial in sorted(trials, key=lambda t: -max(t['auprc'].values())):
    maps = sorted(trial['auprc'].items(), key=lambda each: -each[1])
    shown = ', '.join(f'{name} {number(value)}' for name, value in maps)
    minutes = f'{trial.get("seconds", 0) / 60:.1f}'
    changes = trial['changes'] or 'as it is'
    rows.append([changes, shown, str(trial.get('steps', 0)), minutes])
  return markdown(('changes', 'AUPRC on validation', 'steps', 'minutes'), rows)


def finished(runs: pathlib.Path) -> list[dict]:
  """The trials of a folder, each with what it 'trained', as RECORDS keeps them."""
  found = []
  for path in sorted(runs.glob('*/trial-*.json')):
    config = json.loads((path.parent / 'config.json').read_text())
    trained = registry.without(config, *registry.AFTER_TRAINING)
    found.append(json.loads(path.read_text()) | {'trained': trained})
  return found


def merge(kept: list[dict], fresh: list[dict]) -> list[dict]:
  """Kept and fresh trials; a fresh one replaces those of its training and its maps.

  A kept one that has no 'scores' named its maps in full, and gives way to any.
  """

  def replaced(old):
    return any(
      all(old[key] == new[key] for key in ('config', 'trained'))
      and old['scores'] in ({}, new['scores'])
      for new in fresh
    )

  return [trial for trial in kept if not replaced(trial)] + fresh


def described(trial: dict) -> dict:
  """A trial with its 'changes' and its maps told by what differs from today."""
  config, data = trial['config'].split(':')
  today = registry.plain(benchmark.read_config(config, data))
  changes = told_apart(trial['trained'], today)
  auprc = {
    label(name, trial['scores'], today['scores']): value
    for name, value in trial['auprc'].items()
  }
  return trial | {'changes': changes, 'auprc': auprc}


def render(runs: pathlib.Path, output: pathlib.Path) -> None:
  """Writes the records of all trials and the page."""
  records = output.with_name(RECORDS)
  lines = records.read_text().splitlines() if records.exists() else []
  trials = merge([json.loads(line) for line in lines], finished(runs))
  if not trials:
    raise FileNotFoundError(f'{runs} holds no trial, and there is no {records}')
  trials.sort(key=lambda trial: trial['config'])
  parts = [HEAD]
  for config, group in itertools.groupby(trials, lambda trial: trial['config']):
    found = [described(trial) for trial in group]
    data = ', '.join(dict.fromkeys(trial['manifest'][:12] for trial in found))
    parts.append(f'## {config}\n\nData {data}.\n\n{table(found)}\n')
  atomic_files.write_text(
    records, ''.join(f'{json.dumps(trial)}\n' for trial in trials)
  )
  atomic_files.write_text(output, '\n'.join(parts))


def main(_: list[str]) -> None:
  """Runs the trials of a config and prints their table, or writes the page."""
  runs = pathlib.Path(FLAGS.runs)
  if FLAGS.render:
    render(runs, pathlib.Path(FLAGS.output))
    print(FLAGS.output)
    return
  if FLAGS.config is None:
    raise ValueError('--config names the config to try settings of')
  given = next(arg for arg in sys.argv if arg.startswith('--config='))
  path, _, data = given.removeprefix('--config=').partition(':')
  name = f'{pathlib.Path(path).stem}:{data or "demo"}'
  found = [
    {**attempt(name, FLAGS.config, changes, runs), 'changes': changes}
    for changes in FLAGS.trial
  ]
  if parallel.leads():
    print(table(found))


def define_flags() -> None:
  """The flags of the command."""
  config_flags.DEFINE_config_file('config', None, 'The config, as for uad_jax.main.')
  flags.DEFINE_multi_string('trial', [''], "Changes, 'KEY=VALUE; KEY=VALUE'.")
  flags.DEFINE_string('runs', 'runs/tuning', 'Where the trials are kept.')
  flags.DEFINE_string('output', 'docs/tuning.md', 'The page that is written.')
  flags.DEFINE_bool('render', False, 'Train nothing; write the page.')


if __name__ == '__main__':
  define_flags()
  cli.run(main)
