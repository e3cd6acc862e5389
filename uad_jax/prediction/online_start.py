"""Functions that begin a stream on the healthy validation scans of a trained run."""

import functools
import json
import pathlib
from collections.abc import Sequence

from ml_collections import ConfigDict

from uad_jax import experiment, registry
from uad_jax.data import workers
from uad_jax.data.cohorts.entry import Entry
from uad_jax.evaluation import healthy_ranges, left_out
from uad_jax.evaluation.scans import text
from uad_jax.few_shot.adapted_config import scores_of
from uad_jax.inference import placed
from uad_jax.method import Stats
from uad_jax.online.healthy_reference import LEAST_SCANS
from uad_jax.online.scan_maps import Maps
from uad_jax.online.stream_settings import Settings
from uad_jax.online.stream_state import Stream
from uad_jax.online.stream_state import begin as begin_stream
from uad_jax.prediction import calibration, sidecar
from uad_jax.prediction.decision import BASE
from uad_jax.prediction.decision_facts import MORE
from uad_jax.prediction.detection import detect
from uad_jax.prediction.online_maps import maps_of
from uad_jax.progress import progress
from uad_jax.report.atomic_files import read_json
from uad_jax.trained_run import TrainedRun, open_run

MOST = 200
"""Largest number of healthy subjects; their maps are in memory together."""


def model_of(run: TrainedRun, masks: bool) -> str:
  """Returns a hash of everything that maps depend on, and the kind of brain masks.

  It covers the parameters, the config of the model, the scorer, pre- and
  post-processing, but neither thresholds nor the evaluation: a state stays valid when
  the run is evaluated or calibrated anew.

  Args:
    run: Trained run.
    masks: Whether brain masks come from files.
  """
  config = registry.plain(ConfigDict(read_json(run.folder / 'config.json')))
  results = json.loads((run.folder / 'results.json').read_bytes())
  settings = {
    'config': registry.without(config, 'data', *registry.AFTER_TRAINING),
    'polarity': registry.polarity(config['data']),
    'map': run.scorer,
    'scores': scores_of(config, [run.scorer]),
    'postprocess': results['protocol']['postprocess'],
    'steps': run.steps,
    'slice_step': run.slice_step,
    'shape': run.shape,
  }
  kind = 'brain masks from files' if masks else 'estimated brain masks'
  return f'{sidecar.hash_of(run, settings)} with {kind}'


def healthy_scans(run: TrainedRun, masks: bool) -> list[Entry]:
  """Lists the healthy validation scans on which a stream of a run can begin.

  As in the offline calibration, the first scan of each subject stands for the subject
  (`healthy_ranges.first_scans`).

  Args:
    run: Trained run.
    masks: Whether brain masks come from files; without, they are estimated as in the
      prediction of a bare scan.

  Raises:
    ValueError: There are too few.
  """
  config = ConfigDict(read_json(run.folder / 'config.json'))
  kept = read_json(run.folder / 'model.json').get('data', '')
  entries = [
    entry
    for entry in calibration.validation_scans(config, kept)
    if not entry.lesion and entry.pathology == 'none'
  ]
  if masks:
    entries = [entry for entry in entries if entry.mask or entry.labels]
  else:
    entries = [entry._replace(mask=None, labels=None) for entry in entries]
  first = healthy_ranges.first_scans((entry.subject, entry.image) for entry in entries)
  entries = [entry for entry in entries if first[entry.subject] == entry.image]
  check_number_of(len(entries), run, masks)
  return entries[:MOST]


def check_number_of(subjects: int, run: TrainedRun, masks: bool) -> None:
  """Checks that there are enough healthy subjects for a stream.

  Raises:
    ValueError: There are too few; the message says how to get more.
  """
  fewest = LEAST_SCANS + Settings().shadow_scans
  if subjects < fewest:
    kind = ' with files of brain masks' if masks else ''
    files = ''
    if masks:
      files = """; --data_options="patterns={'labels': GLOB}" names files of masks"""
    raise ValueError(
      f'run {run.folder} has {subjects} healthy validation subjects{kind} whose files '
      f'can be used; --online begins on {fewest} or more; {MORE}{files}'
    )


def stats_without(run: TrainedRun) -> dict[str, Stats]:
  """Removes the records of each subject that a run was adapted to from its statistics.

  Its scans are then judged as a new one would be, as in the evaluation
  (`evaluation.left_out`).

  Args:
    run: Trained run.

  Returns:
    Statistics by subject, on the devices; {} if the adaptation added no scan to sums
    (`Method.without`).
  """
  opened = open_run(run.folder)
  if opened.method.without is None:
    return {}
  built = experiment.build(opened.config, opened.card.get('data', ''))
  without = functools.partial(opened.method.without, opened.state.params)
  parts = left_out.by_subject(experiment.validation(built), without, opened.state.stats)
  return {
    text(batches[0]['subject'][0]): placed(opened.state.params, stats)[1]
    for batches, stats in parts
  }


def healthy_maps(run: TrainedRun, masks: bool, processes: int) -> list[Maps]:
  """Prepares and infers the healthy validation scans of a run, as `predict` does.

  A scan that was added to the statistics of the run is inferred without itself.

  Args:
    run: Trained run.
    masks: Whether brain masks come from files.
    processes: Number of processes that prepare scans.

  Returns:
    Maps of each scan that could be prepared, one a subject.

  Raises:
    ValueError: There are too few.
  """
  entries, reduced = healthy_scans(run, masks), stats_without(run)
  work = functools.partial(calibration.prepare, steps=run.steps)
  outcomes = workers.mapped(work, entries, processes, main_module=False)
  maps = []
  for prepared, entry in zip(outcomes, progress(entries, 'healthy scans'), strict=True):
    if prepared is not None:
      threshold = calibration.thresholds(run, prepared.chain)[BASE]
      judge = run._replace(stats=reduced.get(entry.subject, run.stats))
      maps.append(maps_of(prepared, detect(prepared, judge, threshold)))
  check_number_of(len(maps), run, masks)
  return maps


def begin(healthy: Sequence[Maps], folder: pathlib.Path) -> Stream:
  """Creates the state of a stream with the default settings.

  Args:
    healthy: Maps of healthy scans.
    folder: The run folder, for error messages.

  Raises:
    ValueError: The maps do not fit together.
  """
  try:
    return begin_stream(healthy, Settings())
  except ValueError as error:
    raise ValueError(
      f'no stream can begin on the healthy scans of {folder}: {error}'
    ) from error
