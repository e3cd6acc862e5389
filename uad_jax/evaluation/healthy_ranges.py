"""Functions that measure healthy validation scans, to compare new scans with them.

The prediction warns if a new scan is far outside of their ranges, asks the gate of
`domain_shift` by their statistics, and marks components by their largest component
masses. Entry 'healthy_validation' of results.json has the numbers; those from 'stacks'
on are missing in runs of older versions:

  scans             number of healthy validation scans
  landmarks         mean over the scans of `LANDMARKS` quantiles of the intensities in
                    the brain, see `intensity.histogram_match`
  intensity.Q       [lowest, highest] Q % quantile of the intensities in a scan's brain
  marked.NAME.P     [mean, highest] share of a scan's brain at or above the threshold
                    that P % of all healthy voxels reach, by scorer NAME
  stacks            stacks of slices of a scan, see `prediction.detection.stacks`
  statistics.NAME   [n] statistics of the image, see `domain_shift.statistics`, one scan
                    a subject; those that are finite for each scan
  masses.NAME.P     [n] largest component mass of these scans at the same threshold, see
                    `component_masses`
"""

import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from uad_jax import parallel
from uad_jax.data.preprocessing import intensity as matching
from uad_jax.domain_shift.statistics import of_scan
from uad_jax.evaluation import component_masses
from uad_jax.evaluation.histogram import Histogram, lower_edge, pool, threshold_at
from uad_jax.evaluation.measure import scan_histograms
from uad_jax.evaluation.metrics import FPR_PERCENT
from uad_jax.evaluation.postprocess import Postprocess
from uad_jax.evaluation.scans import Scan

LANDMARKS = 21
"""Number of quantiles to which the intensities of another scanner may be matched."""

QUANTILES = (25, 50, 75)
"""Quantiles of the intensities in per cent; the tails depend on the brain mask."""


def intensities(image: np.ndarray, brain: np.ndarray) -> list[float]:
  """Computes quantiles of the intensities in the brain, from the first channel only.

  Args:
    image: Image [X, Y, Z, C].
    brain: Brain mask, bool [X, Y, Z].

  Returns:
    The quantiles at the percentages in `QUANTILES`.
  """
  values = np.asarray(image[..., 0], np.float64)[brain]
  return [float(value) for value in np.percentile(values, QUANTILES)]


def share_above(scores: Histogram, threshold: float) -> float:
  """Computes the share of a scan's healthy voxels with scores at or above a threshold.

  Args:
    scores: Histogram of the anomaly scores in the scan.
    threshold: Anomaly score.

  Returns:
    Share in [0, 1]; 0 if the scan has no healthy voxel.
  """
  above = scores.healthy[lower_edge(scores.codes) >= np.float32(threshold)].sum()
  return float(above / max(scores.healthy.sum(), 1))


def describe(
  quantiles: Sequence[Sequence[float]],
  landmarks: Sequence[Sequence[float]],
  histograms: Mapping[str, Sequence[Histogram]],
  thresholds: Mapping[str, Mapping[int, float]],
) -> dict[str, Any]:
  """Computes the ranges of intensities and marked shares over healthy scans.

  Args:
    quantiles: For each scan, the result of `intensities`.
    landmarks: For each scan, `LANDMARKS` quantiles of its intensities.
    histograms: For each scorer, the histogram of anomaly scores in each scan.
    thresholds: Thresholds by scorer and by percentage of healthy voxels above them.

  Returns:
    The entry 'healthy_validation' of results.json, see the module docstring.
  """
  ranges = {
    str(q): [float(min(values)), float(max(values))]
    for q, values in zip(QUANTILES, zip(*quantiles, strict=True), strict=False)
  }
  marked = {}
  for scorer, parts in histograms.items():
    marked[scorer] = {}
    for percent, threshold in thresholds[scorer].items():
      shares = [share_above(part, threshold) for part in parts]
      marked[scorer][str(percent)] = [float(np.mean(shares)), max(shares)]
  return {
    'scans': max(map(len, histograms.values())),
    'landmarks': np.mean(landmarks, 0).tolist(),
    'intensity': ranges,
    'marked': marked,
  }


class Stack(NamedTuple):
  """Numbers of one healthy scan, or of one stack of its slices.

  Attributes:
    scan: Name of the scan.
    subject: Name of the subject.
    voxel_ml: Volume of a voxel, ml.
    quantiles: Result of `intensities`.
    landmarks: `LANDMARKS` quantiles of the intensities in the brain.
    statistics: Statistics of the image by name, see `domain_shift.statistics`.
    masses: Largest component mass by scorer and percentage of the threshold.
  """

  scan: str
  subject: str
  voxel_ml: float
  quantiles: list[float]
  landmarks: np.ndarray
  statistics: Mapping[str, float]
  masses: Mapping[str, Mapping[int, float]]


def stack_of(scan: Scan) -> Stack:
  """Measures the image of a healthy scan; the masses are still missing."""
  image, brain = scan.arrays['image'], scan.arrays['mask'][..., 0] > 0
  return Stack(
    scan.name,
    scan.subject,
    scan.voxel_ml,
    intensities(image, brain),
    matching.quantiles(image[..., 0][brain], LANDMARKS),
    of_scan(image, brain[..., None]),
    {},
  )


def first_scans(scans: Iterable[tuple[str, str]]) -> dict[str, str]:
  """Returns the first scan of each subject.

  It stands for the subject: scans of one subject are not exchangeable with those of
  others.

  Args:
    scans: Subject and name of each scan.
  """
  first: dict[str, str] = {}
  for subject, scan in scans:
    first.setdefault(subject, scan)
  return first


def describe_subjects(stacks: Sequence[Stack]) -> dict[str, Any]:
  """Collects statistics and largest component masses of one scan a subject.

  It is that of `first_scans`. The mass of a scan is the largest of its stacks, and its
  statistics are those of the first one.

  Args:
    stacks: Numbers of all healthy scans.

  Returns:
    The entries 'stacks', 'statistics' and 'masses', see the module docstring.
  """
  first = first_scans((stack.subject, stack.scan) for stack in stacks)
  scans: dict[str, list[Stack]] = {}
  for stack in stacks:
    if first[stack.subject] == stack.scan:
      scans.setdefault(stack.scan, []).append(stack)
  parts = list(scans.values())
  statistics = {
    name: [float(part[0].statistics[name]) for part in parts]
    for name in parts[0][0].statistics
  }
  return {
    'stacks': max(map(len, parts)),
    'statistics': {
      name: values
      for name, values in statistics.items()
      if all(map(math.isfinite, values))
    },
    'masses': {
      scorer: {
        str(percent): [max(s.masses[scorer][percent] for s in part) for part in parts]
        for percent in masses
      }
      for scorer, masses in parts[0][0].masses.items()
    },
  }


def measure(
  scans: Iterable[Scan],
  scorers: Iterable[str],
  chain: Postprocess,
  thresholds: Mapping[str, Mapping[int, float]] | None = None,
) -> tuple[Mapping[str, Mapping[int, float]], dict[str, Any]]:
  """Sets the thresholds on healthy validation scans and measures their ranges.

  Args:
    scans: Healthy validation scans of this host, with anomaly maps.
    scorers: Names of the anomaly maps.
    chain: Post-processing of the maps.
    thresholds: Thresholds of another run, which are kept; None sets them here.

  Returns:
    Thresholds by scorer and by percentage of healthy voxels above them; results of
    `describe` and `describe_subjects` for the scans of all hosts.
  """
  scorers, stacks = list(scorers), []

  def recorded():
    for scan in scans:
      stacks.append(stack_of(scan))
      yield scan

  with tempfile.TemporaryFile() as maps:
    recording = component_masses.recording(chain, maps)
    histograms = scan_histograms(recorded(), scorers, recording)
    if thresholds is None:
      thresholds = {}
      for scorer, parts in histograms.items():
        pooled = pool(parts)
        thresholds[scorer] = {p: threshold_at(pooled, p / 100) for p in FPR_PERCENT}
    maps.seek(0)
    for i, stack in enumerate(stacks):
      masses = {
        scorer: component_masses.largest(
          *component_masses.read_map(maps), thresholds[scorer], chain, stack.voxel_ml
        )
        for scorer in scorers
      }
      stacks[i] = stack._replace(masses=masses)
  stacks = sum(parallel.gather(stacks), [])
  ranges = describe(
    [stack.quantiles for stack in stacks],
    [stack.landmarks for stack in stacks],
    histograms,
    thresholds,
  )
  return thresholds, ranges | describe_subjects(stacks)
