"""Functions that set the thresholds for scans whose brain mask is estimated.

If a run was trained with brain masks or labels from files, but the prediction has to
estimate the mask, the rim of the brain differs, and with it the intensities and the
share of voxels above a threshold. The healthy validation scans are therefore prepared
again in the way that `predict` prepares a scan without a mask. The thresholds set on
them are kept in the file prediction.json of the run folder:

  step        training step of the parameters
  results     time at which results.json, with the post-processing, was written
  scans       number of validation scans
  thresholds  by scorer and percentage of healthy voxels above
  healthy_validation   description of the scans, see `evaluation.healthy_ranges`
"""

import functools
import json
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from uad_jax import experiment, parallel, prepared_data
from uad_jax.data import mixing, workers
from uad_jax.data.cohorts import versions
from uad_jax.data.cohorts.entry import Entry
from uad_jax.data.preprocessing import preprocess
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.data.preprocessing.steps import Steps
from uad_jax.evaluation import healthy_ranges
from uad_jax.evaluation.decisions import BARE, belongs
from uad_jax.evaluation.scans import Scan
from uad_jax.inference import make_infer
from uad_jax.prediction.detection import inferred
from uad_jax.prediction.scan_preparation import collected
from uad_jax.progress import progress
from uad_jax.registry import plain
from uad_jax.report.atomic_files import read_json, read_json_once, write_text
from uad_jax.trained_run import TrainedRun, load

ESTIMATED = ('template', 'otsu', 'stripped', 'hd_bet', 'synthstrip')
"""Ways of the step 'brain_mask' that need no file beside the scan."""


def is_estimated(chain: Sequence[Mapping[str, Any]]) -> bool:
  """Returns whether the brain mask of a preprocessed scan was estimated.

  Args:
    chain: Preprocessing steps of the scan, see `preprocess.Prepared`.
  """
  return any(
    entry.get('step') == 'brain_mask' and entry.get('by') in ESTIMATED
    for entry in chain
  )


def of_run(run: TrainedRun, chain: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
  """Reads prediction.json of a run if its thresholds apply to a preprocessed scan.

  They apply to scans whose brain mask was estimated.

  Args:
    run: Trained run.
    chain: Preprocessing steps of the scan, see `preprocess.Prepared`.

  Returns:
    Content of prediction.json. {} if the brain mask was not estimated, or if the file
    is missing, older than the results of the run, or without the scorer of the run.
  """
  content = read_json_once(run.folder / BARE) if is_estimated(chain) else {}
  current = belongs(content, read_json_once(run.folder / 'results.json'))
  return content if current and run.scorer in content['thresholds'] else {}


def thresholds(
  run: TrainedRun, chain: Sequence[Mapping[str, Any]]
) -> Mapping[str, float]:
  """Returns the anomaly thresholds of a run that apply to a preprocessed scan.

  Args:
    run: Trained run.
    chain: Preprocessing steps of the scan, see `preprocess.Prepared`.

  Returns:
    Thresholds by the percentage of healthy voxels above them: '1', '5' and '10'.
  """
  content = of_run(run, chain)
  return content['thresholds'][run.scorer] if content else run.thresholds


def validation_scans(config: ConfigDict, kept: str = '') -> list[Entry]:
  """Lists the files of the healthy validation scans of a run.

  Args:
    config: Config of the run.
    kept: Names of the prepared data sets of the run, see `prepared_data.make_builder`.

  Returns:
    Entries with their masks and labels; [] if the original scans are missing.
  """
  entries = []
  data = plain(config.data)
  builders = prepared_data.make_builders(data, kept)
  for term in mixing.splits(data)['val']:
    settings = getattr(builders[term.data], 'builder_config', None)
    source = getattr(settings, 'source', '')
    if not source or not versions.is_there(source):
      continue
    entries += [
      entry
      for entry in versions.entries_of(settings, source)
      if entry.split == term.split and not entry.problem
    ]
  return entries


def bare_scans(config: ConfigDict, kept: str = '') -> list[Entry]:
  """Lists the healthy validation scans that have a file with a mask or labels.

  The masks and labels are dropped from the entries, so that the brain mask is estimated
  when these scans are preprocessed.

  Args:
    config: Config of the run.
    kept: Names of the prepared data sets of the run, see `prepared_data.make_builder`.

  Returns:
    Entries without masks and labels; [] if no scan has such a file, or if the original
    scans are missing.
  """
  return [
    entry._replace(mask=None, labels=None)
    for entry in validation_scans(config, kept)
    if entry.mask or entry.labels
  ]


def prepare(
  entry: Entry, steps: Steps, truth: bool = False
) -> preprocess.Prepared | None:
  """Preprocesses a scan with its files; returns None if the scan is unusable.

  Args:
    entry: Files of the scan.
    steps: Preprocessing steps.
    truth: Whether its lesion mask and its lesion-free twin are read too.
  """
  known = {'lesion': entry.lesion, 'twin': entry.twin} if truth else {}
  try:
    with collected([]):
      return preprocess.prepare_scan(
        entry.image,
        steps,
        mask=entry.mask,
        labels=entry.labels,
        channel=entry.channel,
        **known,
      )
  except BadScan:
    return None


def stacks_of(
  scans: Iterable[tuple[Entry, preprocess.Prepared]], run: TrainedRun
) -> Iterator[Scan]:
  """Infers preprocessed scans and yields their stacks, named as their scans.

  Args:
    scans: Entry and preprocessed scan of each.
    run: Trained run.
  """
  for entry, prepared in scans:
    name = '/'.join(filter(None, (entry.subject, entry.session)))
    for stack in inferred(prepared, run):
      yield stack._replace(name=name, subject=entry.subject)


def calibrate(config: ConfigDict, folder: pathlib.Path, processes: int = 2) -> int:
  """Sets the thresholds of a finished run for scans whose brain mask is estimated.

  The thresholds are computed on healthy validation scans with estimated masks and
  written to prediction.json. Nothing is done if no validation scan has a file with a
  mask or labels, or if prediction.json already belongs to the current results.

  Args:
    config: Config of the run.
    folder: The run folder.
    processes: Number of worker processes that prepare scans.

  Returns:
    Number of scans that the thresholds were computed on; 0 if nothing was done.
  """
  written = _written(folder)
  if read_json(folder / BARE).get('results') == written:
    return 0
  card = read_json(folder / 'model.json')
  entries = bare_scans(config, card.get('data', ''))
  if not entries:
    return 0
  run, scorers = load(folder), experiment.make_scorers(config)
  method = experiment.make_method(config, run.shape, card['channels'])
  run = run._replace(infer=make_infer(method, scorers))
  work = functools.partial(prepare, steps=run.steps)
  prepared = workers.mapped(work, entries, processes)
  shown = progress(list(entries), 'prediction')
  usable = [
    (entry, one) for one, entry in zip(prepared, shown, strict=True) if one is not None
  ]
  if not usable:
    return 0
  limits, described = healthy_ranges.measure(
    stacks_of(usable, run), scorers, run.postprocess
  )
  content = {
    'step': read_json_once(folder / 'results.json').get('step'),
    'results': written,
    'scans': len(usable),
    'thresholds': {
      name: {str(percent): value for percent, value in values.items()}
      for name, values in limits.items()
    },
    'healthy_validation': described,
  }
  write_text(folder / BARE, json.dumps(content, indent=1))
  return len(usable)


def after_training(config: ConfigDict, workdir: str) -> None:
  """Calls `calibrate` for a finished run and reports new thresholds on stderr.

  Nothing is done in a job on several hosts; to set the thresholds of such a run, repeat
  its command on one host.

  Args:
    config: Config of the run.
    workdir: The run folder.
  """
  if jax.process_count() > 1:
    return
  folder = pathlib.Path(workdir)
  count = calibrate(config, folder, parallel.usable_cores())
  if count:
    print(
      f'thresholds for scans without a brain mask are set on {count} validation scans '
      f'with estimated masks: {folder / BARE}',
      file=sys.stderr,
    )


def _written(folder: pathlib.Path) -> str:
  """Time at which the results of a run were written; '' if there are none."""
  results = read_json_once(folder / 'results.json')
  return results.get('run', {}).get('written', '')
