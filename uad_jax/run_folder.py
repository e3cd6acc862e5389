"""Functions that train and evaluate a config in its run folder.

Interrupted work is resumed. A run folder holds config.json, model.json, training.json,
parameters.txt, metrics.jsonl, checkpoints/ and the files of `report.write`:
results.json, subjects.csv, evaluation.npz, report.html. A variant evaluates the same
trained method with other inference settings; it has those four files in variants/NAME.
An evaluation on other data has them in evaluations/NAME-FINGERPRINT.
"""

import pathlib
import sys

from ml_collections import ConfigDict

from uad_jax import experiment as experiments
from uad_jax import model_card, parallel, prepared_data, registry, resume
from uad_jax.data import mixing
from uad_jax.data.mixing import PAINTED
from uad_jax.datasets.option_checks import check_splits
from uad_jax.evaluate import evaluate
from uad_jax.evaluation.evaluated_step import noted, step_of
from uad_jax.evaluation.summary import SCHEMA
from uad_jax.experiment import Experiment
from uad_jax.few_shot import source_run
from uad_jax.inference import Inference, check, make_infer
from uad_jax.method import State
from uad_jax.report import page, tables
from uad_jax.report.atomic_files import read_json
from uad_jax.resume import first_difference, trained
from uad_jax.trained_run import newest_state

PARTS = ('data', 'train', 'report')
"""Parts of the work, in order: preparing data, training, evaluation with report."""


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
  results = read_json(path)
  if results['schema'] != SCHEMA:
    return f'{path} has the layout {results["schema"]}, now {SCHEMA}'
  difference = first_difference(results['run']['config'], config)
  return f'config.{difference}' if difference else None


def check_records(experiment: Experiment) -> None:
  """Opens every data split of a config, so that a missing one is reported early.

  A split is missing, for example, if none of its scans could be preprocessed.
  """
  data = experiment.config.data
  for split in experiments.training_splits(experiment.method):
    experiments.split_records(experiment, split)
  names = {data.train, data.val, data.test, data.selection} - {PAINTED, ''}
  for name in sorted(names):
    experiment.records(name)


def run(config: ConfigDict, workdir: str, until: str = PARTS[-1]) -> str:
  """Prepares the data, then trains and evaluates a config in its run folder.

  Parts that an earlier call has finished are skipped. All options are checked before
  any work.

  Args:
    config: Config of the experiment.
    workdir: The run folder.
    until: Last part to do: 'data', 'train' or 'report'.

  Returns:
    Result table as text; one line of text if `until` is 'data' or 'train'. On hosts
    other than the first, '' replaces the table.

  Raises:
    ValueError: An option is invalid, the folder belongs to another run, another process
      uses it, or the data have changed since its training started.
  """
  folder, settings = pathlib.Path(workdir), registry.plain(config)
  if until == PARTS[0] or not parallel.leads():
    return _run(config, folder, settings, until)
  resume.check_claim(folder, settings)
  with resume.alone(folder):
    return _run(config, folder, settings, until)


def _run(config: ConfigDict, folder: pathlib.Path, settings: dict, until: str) -> str:
  """Does the work of `run`, alone in the run folder."""
  kept = parallel.gather(read_json(folder / 'model.json').get('data', ''))[0]
  experiment = experiments.plan(config, kept)
  check_splits(experiment.builders, mixing.splits(settings['data']))
  parallel.check_batch_size(config.batch_size, parallel.mesh())
  infer = checked_infer(experiment)
  for builder in experiment.builders.values():
    prepared_data.prepare(builder)
  check_records(experiment)
  if until == PARTS[0]:
    return f'{config.data.name} is prepared in {config.data.dir}'
  if parallel.leads():
    resume.claim(folder, settings, model_card.describe(experiment))
  parallel.wait()
  if until == PARTS[-1] and not unfinished(experiment, folder):
    print(f'nothing left to do in {folder}', file=sys.stderr)
    return table(folder, config)
  state = trained(experiment, folder)
  if until == 'train':
    return f'trained: {folder / "checkpoints"}'
  report(experiment, infer, state, folder, settings)
  for name in experiment.variants:
    report(experiment, infer, state, folder, settings, name)
  return table(folder, config) if parallel.leads() else ''


def checked_infer(experiment: Experiment) -> Inference:
  """Compiles the inference of an experiment and checks it on the shape of its images.

  Raises:
    ValueError: The options do not fit each other or the images, or the method lacks an
      output that a scorer needs, or an entry of a variant is not read.
  """
  config, features = experiment.config, mixing.first(experiment.builders).info.features
  method, variants = experiment.method, experiment.variants
  infer = make_infer(method, experiment.scorers)
  try:
    check(infer, method, features, config.batch_size, variants)
  except ValueError:
    raise
  except Exception as error:  # of any type, as options reach the layers of networks
    reason = (str(error).splitlines() or [''])[0][:200]
    options = registry.without(registry.plain(config)['method'], 'name')
    raise ValueError(
      f"method '{config.method.name}' cannot be made for images of the shape "
      f'{features["image"].shape} with its options {options} '
      f'({type(error).__name__}: {reason}); change config.method or config.scores'
    ) from error
  return infer


def unfinished(experiment: Experiment, folder: pathlib.Path) -> str | None:
  """Returns the reason why an experiment has no complete results yet, or None.

  Results must stem from the newest readable checkpoint. If the checkpoints have been
  deleted, existing results count as complete.
  """
  reason = unevaluated(folder, registry.plain(experiment.config))
  trained_there = any((folder / 'checkpoints').glob('[0-9]*'))
  reason, trained_there = parallel.gather((reason, trained_there))[0]
  if reason or not trained_there:
    return reason
  results = read_json(folder / 'results.json')
  features = mixing.first(experiment.builders).info.features
  newest = newest_state(
    folder, experiment.method, experiment.tx, features['image'].shape
  )
  step = newest and newest[0]
  if step != step_of(results):
    return f'its results are of step {step_of(results)}, its checkpoint of step {step}'
  return None


def is_finished(config: ConfigDict, workdir: str) -> bool:
  """Whether a run folder holds the results of exactly this config.

  The first host looks, and all hosts get its answer.
  """
  settings = registry.plain(config)
  return not parallel.gather(unevaluated(pathlib.Path(workdir), settings))[0]


def unevaluated(folder: pathlib.Path, config: dict) -> str | None:
  """Returns why results of a run or its variants are missing or outdated, or None."""
  places = [folder, *(folder / 'variants' / name for name in config['variants'])]
  return next(filter(None, (outdated(place, config) for place in places)), None)


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
  `config.variant_scores`, or all if that is empty, and does not choose the default map.

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
    experiments.validation(experiment),
    experiments.batches(experiment, config.data.test),
    experiments.evaluation_key(config),
    postprocess=config.postprocess,
    selection=None if variant else chosen_on(experiment),
    decisions=source_run.decisions(config.get('start'), config.data),
    ask=experiment.variants.get(variant),
    infer=infer,
    without=experiment.method.without,
    resamples=config.resamples,
    progress=parallel.leads(),
  )
  if not parallel.leads():
    return
  page.write(
    noted(results, int(state.step)),
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
  results = read_json(folder / 'results.json')
  rows = tables.rows(results)
  for name in config.variants:
    summary = read_json(folder / 'variants' / name / 'results.json')
    rows += tables.changed(summary, results, name)
  return f'{tables.text(rows)}\n\n{folder / "report.html"}'
