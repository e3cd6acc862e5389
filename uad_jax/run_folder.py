"""The main job on disk: a run folder is made, filled, resumed, evaluated and reported.

A run folder holds config.json, metrics.jsonl, checkpoints/, and what `report` writes:
results.json, subjects.csv, evaluation.npz, report.html; other inferences of the same
training lie in variants/NAME with the same four files.
"""

import json
import pathlib
import sys
import time

import jax
from ml_collections import ConfigDict

from uad_jax import experiment as experiments
from uad_jax import parallel, registry, train
from uad_jax.data import mixing
from uad_jax.data.mixing import PAINTED
from uad_jax.evaluate import evaluate
from uad_jax.evaluation.summary import SCHEMA
from uad_jax.experiment import Experiment
from uad_jax.inference import check, make_infer
from uad_jax.method import State
from uad_jax.metrics_log import metrics_log
from uad_jax.report import atomic_files, page, tables
from uad_jax.report.atomic_files import read_json

PARTS = ('data', 'train', 'report')


def first_difference(old: dict, new: dict) -> str | None:
  """The first key in which two configs differ, with both values."""
  for key, a, b in registry.differences(old, new, 'nothing'):
    return f'{key} was {a}, now {b}'
  return None


def claim(workdir: pathlib.Path, config: dict) -> None:
  """Makes the run folder, or checks that it belongs to this config."""
  path = workdir / 'config.json'
  if path.exists():
    try:
      old = json.loads(path.read_text())
    except json.JSONDecodeError:
      raise ValueError(f'{path} is damaged; choose another workdir') from None
    kept = [registry.without(c, *registry.AFTER_TRAINING) for c in (old, config)]
    difference = first_difference(*kept)
    if difference:
      raise ValueError(
        f'{workdir} is a run of another config (config.{difference}); '
        'choose another --workdir'
      )
  elif workdir.exists() and any(workdir.iterdir()):
    raise ValueError(f'{workdir} is not empty and no run; choose another --workdir')
  workdir.mkdir(parents=True, exist_ok=True)
  atomic_files.write_text(path, json.dumps(config, indent=2))


def chosen_on(experiment: Experiment):
  """The batches on which the default map is chosen; None when the first one is it."""
  data = experiment.config.data
  if data.selection == PAINTED:
    return experiments.painted(experiment, data.val)
  return experiments.batches(experiment, data.selection) if data.selection else None


def outdated(folder: pathlib.Path, config: dict) -> str | None:
  """Why the results of a folder are not those of this very config in today's layout.

  None if they are.
  """
  told = folder / 'results.json'
  if not told.exists():
    return f'{told} is missing'
  found = json.loads(told.read_text())
  if found['schema'] != SCHEMA:
    return f'{told} has the layout {found["schema"]}, now {SCHEMA}'
  difference = first_difference(found['run']['config'], config)
  return f'config.{difference}' if difference else None


def run(config: ConfigDict, workdir: str, until: str = PARTS[-1]) -> str:
  """Does what is still to do of the job and returns its table, as text.

  Args:
    config: The experiment.
    workdir: The run folder.
    until: Last part to do: 'data', 'train' or 'report'.
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
    atomic_files.write_text(folder / 'model.json', card)
  parallel.wait()
  left = parallel.gather(outdated(folder, settings))[0]
  if not left and until == PARTS[-1]:
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


def trained(experiment: Experiment, folder: pathlib.Path) -> State:
  """The trained state; shows and logs progress on the way."""
  last = experiment.stage_ends[-1] if experiment.stage_ends else 0
  told = folder / 'training.json'
  before = read_json(told).get('seconds', 0.0)
  start = time.monotonic()
  with metrics_log(folder) as write:

    def log(step, metrics):
      if parallel.leads():
        train.print_progress(step, last, metrics)
        write(step, metrics)
        seconds = before + time.monotonic() - start
        atomic_files.write_text(told, json.dumps({'steps': step, 'seconds': seconds}))

    return experiments.trained(experiment, folder, log)


def report(experiment, infer, state, folder, settings, variant: str = '') -> None:
  """Evaluates one inference of the trained method and writes its files.

  A variant asks for another inference, and for the maps that may differ from the run's
  own; it is not part of the choice of a map.
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
    jax.random.key(config.seed + 2),
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
  """The rows of the run and of its variants, and where the page is."""
  own = json.loads((folder / 'results.json').read_text())
  rows = tables.rows(own)
  for name in config.variants:
    summary = json.loads((folder / 'variants' / name / 'results.json').read_text())
    rows += tables.changed(summary, own, name)
  return f'{tables.text(rows)}\n\n{folder / "report.html"}'
