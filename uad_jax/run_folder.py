"""Functions that train and evaluate a config in its run folder.

Interrupted work is resumed. A run folder holds config.json, model.json, training.json,
parameters.txt, metrics.jsonl, checkpoints/ and the files of `report.write`:
results.json, subjects.csv, evaluation.npz, report.html. A variant evaluates the same
trained method with other inference settings; it has those four files in variants/NAME.
An evaluation on other data has them in evaluations/NAME-FINGERPRINT.
"""

import json
import pathlib
import sys

from ml_collections import ConfigDict

from uad_jax import experiment as experiments
from uad_jax import parallel, registry
from uad_jax.data import mixing
from uad_jax.data.mixing import PAINTED
from uad_jax.evaluate import evaluate
from uad_jax.evaluation.summary import SCHEMA
from uad_jax.experiment import Experiment
from uad_jax.inference import Inference, check, make_infer
from uad_jax.method import State
from uad_jax.report import page, tables
from uad_jax.report.atomic_files import write_text
from uad_jax.resume import trained

PARTS = ('data', 'train', 'report')
"""Parts of the work, in order: preparing data, training, evaluation with report."""


def first_difference(old: dict, new: dict) -> str | None:
  """Describes the first key in which two configs differ, with both values.

  Returns:
    Text 'KEY was OLD, now NEW'; None if the configs agree.
  """
  for key, a, b in registry.differences(old, new, 'nothing'):
    return f'{key} was {a}, now {b}'
  return None


def trained_part(config: dict) -> dict:
  """Returns a config without the keys that affect only the evaluation.

  Left out are scores, variants, post-processing and resamples, the test split, and data
  sets that only the test split names.
  """
  data = dict(config['data'])
  data['test'] = ''
  named = {term.data for terms in mixing.splits(data).values() for term in terms}
  if data.get('others'):
    data['others'] = {k: v for k, v in data['others'].items() if k in named}
  return {**registry.without(config, *registry.AFTER_TRAINING), 'data': data}


def claim(workdir: pathlib.Path, config: dict) -> None:
  """Creates the run folder of a config, or checks that an existing folder fits it.

  If only the evaluation differs (test split, scores, variants), the folder is taken and
  its config.json is replaced.

  Args:
    workdir: The run folder.
    config: Config in the form that `registry.plain` returns.

  Raises:
    ValueError: The folder belongs to another training, or is not a run folder.
  """
  path = workdir / 'config.json'
  if path.exists():
    try:
      old = json.loads(path.read_text())
    except json.JSONDecodeError:
      raise ValueError(f'{path} is damaged; choose another workdir') from None
    difference = first_difference(trained_part(old), trained_part(config))
    if difference:
      raise ValueError(
        f'{workdir} is a run of another config (config.{difference}); '
        'choose another --workdir'
      )
  elif workdir.exists() and any(workdir.iterdir()):
    raise ValueError(f'{workdir} is not empty and no run; choose another --workdir')
  workdir.mkdir(parents=True, exist_ok=True)
  write_text(path, json.dumps(config, indent=2))


def chosen_on(experiment: Experiment):
  """Reads the validation batches that serve to choose the default anomaly map.

  Returns:
    Batches with lesions; None if `config.data.selection` is empty, when the first
    scorer's map is the default.
  """
  data = experiment.config.data
  if data.selection == PAINTED:
    return experiments.painted(experiment, data.val)
  return experiments.batches(experiment, data.selection) if data.selection else None


def outdated(folder: pathlib.Path, config: dict) -> str | None:
  """Returns the reason why stored results are outdated for a config, or None.

  Results also count as outdated if results.json has an older layout.

  Args:
    folder: Folder with results.json.
    config: Config in the form that `registry.plain` returns.
  """
  path = folder / 'results.json'
  if not path.exists():
    return f'{path} is missing'
  results = json.loads(path.read_text())
  if results['schema'] != SCHEMA:
    return f'{path} has the layout {results["schema"]}, now {SCHEMA}'
  difference = first_difference(results['run']['config'], config)
  return f'config.{difference}' if difference else None


def run(config: ConfigDict, workdir: str, until: str = PARTS[-1]) -> str:
  """Prepares the data, then trains and evaluates a config in its run folder.

  Parts that an earlier call has finished are skipped.

  Args:
    config: Config of the experiment.
    workdir: The run folder.
    until: Last part to do: 'data', 'train' or 'report'.

  Returns:
    Result table as text, or a line of text after an earlier part; '' on hosts other
    than the first.
  """
  folder = pathlib.Path(workdir)
  settings = registry.plain(config)
  experiment = experiments.build(config)
  experiments.check_splits(experiment)
  if until == 'data':
    return f'{config.data.name} is prepared in {config.data.dir}'
  if parallel.leads():
    claim(folder, settings)
    card = json.dumps(experiments.model_card(experiment), indent=1)
    write_text(folder / 'model.json', card)
  parallel.wait()
  if until == PARTS[-1] and is_finished(config, workdir):
    print(f'nothing left to do in {folder}', file=sys.stderr)
    return table(folder, config)
  infer = make_infer(experiment.method, experiment.scorers)
  features = mixing.first(experiment.builders).info.features
  check(infer, experiment.method, features, config.batch_size)
  state = trained(experiment, folder)
  if until == 'train':
    return f'trained: {folder / "checkpoints"}'
  report(experiment, infer, state, folder, settings)
  for name in experiment.variants:
    report(experiment, infer, state, folder, settings, name)
  return table(folder, config) if parallel.leads() else ''


def is_finished(config: ConfigDict, workdir: str) -> bool:
  """Whether a run folder holds the results of exactly this config.

  The first host looks, and all hosts get its answer.
  """
  settings = registry.plain(config)
  return not parallel.gather(outdated(pathlib.Path(workdir), settings))[0]


def report(
  experiment: Experiment,
  infer: Inference,
  state: State,
  folder: pathlib.Path,
  settings: dict,
  variant: str = '',
) -> None:
  """Evaluates the trained method of a run and writes the report.

  A variant has other inference settings. It is evaluated with the scorers in
  `config.variant_scores`, or with all if that is empty; it takes no part in the choice
  of the default anomaly map.

  Args:
    experiment: Experiment of the run.
    infer: Compiled inference with the experiment's scorers.
    state: Trained state.
    folder: The run folder.
    settings: Config in the form that `registry.plain` returns.
    variant: Name of the variant; '' for the run's own inference.
  """
  config, scorers = experiment.config, experiment.scorers
  if variant and config.variant_scores:
    scorers = {name: scorers[name] for name in config.variant_scores}
  results = evaluate(
    experiment.method,
    state.params,
    state.stats,
    scorers,
    experiments.batches(experiment, config.data.val),
    experiments.batches(experiment, config.data.test),
    experiments.evaluation_key(config),
    postprocess=config.postprocess,
    selection=None if variant else chosen_on(experiment),
    ask=experiment.variants.get(variant),
    infer=infer,
    resamples=config.resamples,
    progress=parallel.leads(),
  )
  if not parallel.leads():
    return
  page.write(
    results,
    folder / 'variants' / variant if variant else folder,
    title=f'{config.method.name}, {variant}' if variant else config.method.name,
    config=settings,
    seed=config.seed,
    manifest=experiments.digest(experiment),
  )


def table(folder: pathlib.Path, config: ConfigDict) -> str:
  """Formats the results of a run and of its variants as a table in plain text.

  The path of report.html follows the table.
  """
  results = json.loads((folder / 'results.json').read_text())
  rows = tables.rows(results)
  for name in config.variants:
    summary = json.loads((folder / 'variants' / name / 'results.json').read_text())
    rows += tables.changed(summary, results, name)
  return f'{tables.text(rows)}\n\n{folder / "report.html"}'
