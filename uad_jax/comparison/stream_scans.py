"""Functions that prepare and infer the scans of the study of streams.

Each subject has a scan with an inserted lesion and its lesion-free twin (`prepare
lesions`), without a brain mask, as `predict` takes them. The artefact is a bright ball
at one place of the brain, which another scanner puts into every scan.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import nibabel as nib
import numpy as np

from uad_jax import parallel
from uad_jax.data import workers
from uad_jax.data.cohorts import versions
from uad_jax.data.cohorts.entry import Entry
from uad_jax.data.preprocessing import preprocess
from uad_jax.online.guards import subject_code
from uad_jax.online.scan_maps import Maps
from uad_jax.other_cohort import open_other
from uad_jax.prediction import calibration
from uad_jax.prediction.decision import BASE
from uad_jax.prediction.detection import detect
from uad_jax.prediction.online_maps import maps_of
from uad_jax.progress import progress
from uad_jax.trained_run import TrainedRun, open_run

PLACE, RADIUS = (26.0, 8.0, 30.0), 9.0
"""Centre of the artefact in mm of the template, in white matter, and radius in mm."""

GAIN = (1.3, 1.5)
"""Range of the factor by which the artefact changes the intensities of a scan."""


class Pair(NamedTuple):
  """Maps of one subject's scan without and with its lesion.

  Attributes:
    subject: Name of the subject.
    healthy: Maps of the lesion-free twin.
    sick: Maps of the scan with the lesion.
    lesion: Lesion mask, bool [*S].
    artefact: Voxels of the artefact in the brain, bool [*S].
  """

  subject: str
  healthy: Maps
  sick: Maps
  lesion: np.ndarray
  artefact: np.ndarray


def entries_of(run: TrainedRun, folder: str, split: str) -> list[Entry]:
  """Lists the scans of a folder written by `prepare lesions` that have a lesion.

  Args:
    run: Trained run, by whose options the folder is read.
    folder: The folder.
    split: Split of the subjects.

  Returns:
    Entries with lesion and twin, without brain masks and labels.

  Raises:
    ValueError: There is no such scan.
  """
  _, builder = open_other(open_run(run.folder), folder, {'split': split}, '--study')
  entries = [
    entry._replace(mask=None, labels=None)
    for entry in versions.entries_of(builder.builder_config, folder)
    if entry.split == split and entry.lesion and entry.twin and not entry.problem
  ]
  if not entries:
    raise ValueError(
      f"{folder} has no scan with a lesion and its twin in the split '{split}'; "
      '`python -m uad_jax.prepare lesions` writes such folders'
    )
  return entries


def artefact_of(scan: preprocess.Prepared) -> np.ndarray:
  """Computes the voxels of the artefact in the brain of a scan, bool [X, Y, Z]."""
  voxels = np.moveaxis(np.indices(scan.image.shape[:3]), 0, -1)
  distance = nib.affines.apply_affine(scan.affine, voxels) - PLACE
  return (np.square(distance).sum(-1) <= RADIUS**2) & (scan.mask[..., 0] > 0)


def gain_of(subject: str) -> float:
  """Returns the factor of the artefact in the scans of a subject, in `GAIN`."""
  return float(np.random.default_rng(int(subject_code(subject))).uniform(*GAIN))


def pair_of(subject: str, scan: preprocess.Prepared, run: TrainedRun, bright: bool):
  """Infers a preprocessed scan without and with its lesion, see `Pair`.

  Args:
    subject: Name of the subject.
    scan: Preprocessed scan.
    run: Trained run.
    bright: Whether the scans have the artefact.
  """
  artefact = artefact_of(scan)
  threshold = calibration.thresholds(run, scan.chain)[BASE]
  factor = np.where(artefact, gain_of(subject), 1.0)[..., None] if bright else 1.0
  healthy, sick = (
    maps_of(changed, detect(changed, run, threshold))
    for changed in (
      scan._replace(image=(image * factor).astype(np.float32))
      for image in (scan.twin, scan.image)
    )
  )
  inside = healthy.mask > 0
  lesion = (scan.lesion[..., 0] > 0) & inside
  return Pair(subject, healthy, sick, lesion, artefact & inside)


def pairs(
  run: TrainedRun, entries: Sequence[Entry], bright: Sequence[bool], label: str
) -> Iterator[list[Pair]]:
  """Prepares and infers scans, as `predict` does.

  Args:
    run: Trained run.
    entries: Scans, from `entries_of`.
    bright: For each pair of a subject that is wanted, whether it has the artefact.
    label: Name of the work in the progress line.

  Yields:
    For each usable subject its pairs, one for each entry of `bright`.
  """
  work = functools.partial(calibration.prepare, steps=run.steps, truth=True)
  outcomes = workers.mapped(work, entries, parallel.usable_cores(), main_module=False)
  for scan, entry in zip(outcomes, progress(entries, label), strict=True):
    if scan is not None:
      yield [pair_of(entry.subject, scan, run, each) for each in bright]
