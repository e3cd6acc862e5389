"""Functions that build, sort, store and load voxel counts and metrics of test scans.

They are stored in evaluation.npz. From these `bootstrap` computes intervals, and the
paired difference of two runs that were evaluated on the same scans. The anomaly maps
are not needed for this.
"""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from uad_jax.evaluation.histogram import Histogram

BINS = 1024


class Sample(NamedTuple):
  """Voxel counts and metrics of one scorer's anomaly maps on n test scans.

  The scans share K bins of the anomaly score.

  Attributes:
    subjects: [n] subject names; scans of one subject are resampled together.
    pathology: [n] names, 'none' for healthy scans.
    diseased: [n] bool, whether the scan holds a lesion voxel.
    edges: [K] lower edges of the score bins, ascending.
    healthy: [n, K] counts of healthy voxels.
    lesion: [n, K] counts of lesion voxels.
    counts: Arrays [n] by name; summed over subjects before a ratio is formed.
    values: Arrays [n] by name; averaged over subjects, nan if undefined.
  """

  subjects: np.ndarray
  pathology: np.ndarray
  diseased: np.ndarray
  edges: np.ndarray
  healthy: np.ndarray
  lesion: np.ndarray
  counts: Mapping[str, np.ndarray]
  values: Mapping[str, np.ndarray]


def common_bins(pooled: Histogram, bins: int = BINS) -> np.ndarray:
  """Chooses the bins for the histograms of all scans at quantiles of the scores.

  A bin holds at most about 1 / `bins` of the lesion and of the healthy voxels (or a
  single tied score), which bounds the error of the curves by about as much.

  Args:
    pooled: Histogram of all scans.
    bins: Number of quantiles of each of the two score distributions (that of the
      healthy and that of the lesion voxels).

  Returns:
    [K] codes of `histogram.encode` at which the bins begin, ascending.
  """
  starts = [pooled.codes[:1]]
  for counts in (pooled.healthy, pooled.lesion):
    if counts.sum():
      share = np.cumsum(counts) / counts.sum()
      starts.append(pooled.codes[np.searchsorted(share, np.arange(1, bins) / bins)])
  return np.unique(np.concatenate(starts))


def compress(histograms: Sequence[Histogram], starts: np.ndarray) -> np.ndarray:
  """Converts the histograms of several scans to voxel counts in common, coarser bins.

  Args:
    histograms: One for each scan.
    starts: [K] codes at which the bins begin, from `common_bins`.

  Returns:
    [2, n, K] counts of healthy and of lesion voxels.
  """
  counts = np.zeros((2, len(histograms), len(starts)), np.int64)
  for row, part in enumerate(histograms):
    bins = np.searchsorted(starts, part.codes, 'right') - 1
    np.add.at(counts[0, row], bins, part.healthy)
    np.add.at(counts[1, row], bins, part.lesion)
  return counts


def restrict(sample: Sample, rows: np.ndarray) -> Sample:
  """Selects some of the test scans: returns only their voxel counts and metrics.

  Args:
    sample: Counts and values of n test scans.
    rows: Indices of the selected scans, or bool [n].
  """
  return Sample(
    sample.subjects[rows],
    sample.pathology[rows],
    sample.diseased[rows],
    sample.edges,
    sample.healthy[rows],
    sample.lesion[rows],
    {name: counts[rows] for name, counts in sample.counts.items()},
    {name: values[rows] for name, values in sample.values.items()},
  )


def ordered(sample: Sample) -> Sample:
  """Sorts the test scans, with their counts and metrics, by name of the subject."""
  return restrict(sample, np.argsort(sample.subjects, kind='stable'))


def align(a: Sample, b: Sample) -> tuple[Sample, Sample]:
  """Sorts the scans of two evaluations alike and checks that the scans are the same.

  They are sorted by name of the subject.

  Args:
    a: Counts and values of the first scorer or run.
    b: Counts and values of the second scorer or run.

  Raises:
    ValueError: The subjects differ, or the numbers of their lesion voxels differ.
  """
  a, b = ordered(a), ordered(b)
  if not np.array_equal(a.subjects, b.subjects):
    only = sorted(set(a.subjects.tolist()) ^ set(b.subjects.tolist()))
    raise ValueError(
      'a paired difference needs the same test subjects; '
      f'{len(only)} are in one run only or a different number of times: {only[:5]}'
    )
  if not np.array_equal(a.lesion.sum(1), b.lesion.sum(1)):
    raise ValueError(
      'a paired difference needs the same test data; the lesion voxels of '
      f'{a.subjects[np.argmax(a.lesion.sum(1) != b.lesion.sum(1))]} differ in number'
    )
  return a, b


def pack(samples: Mapping[str, Sample]) -> dict[str, np.ndarray]:
  """Converts the counts and metrics of all scorers to arrays, for evaluation.npz.

  The arrays are 'scorers' [m]; then for each scorer s: 's/subjects', 's/pathology',
  's/diseased' [n], 's/edges' [K], 's/healthy', 's/lesion' [n, K], and 's/counts/NAME',
  's/values/NAME' [n], as in `Sample`.
  """
  arrays = {'scorers': np.array(list(samples))}
  for scorer, sample in samples.items():
    for field, content in sample._asdict().items():
      if field in ('counts', 'values'):
        arrays |= {f'{scorer}/{field}/{name}': x for name, x in content.items()}
      else:
        arrays[f'{scorer}/{field}'] = content
  return arrays


def load(path: str | Path) -> dict[str, Sample]:
  """Reads each scorer's voxel counts and metrics on the test scans from evaluation.npz.

  Raises:
    ValueError: The file is not an evaluation.npz, or is damaged.
  """
  try:
    # np.load given a path would leave a damaged file open.
    with open(path, 'rb') as raw, np.load(raw) as file:
      arrays = dict(file)
    return {str(scorer): _unpack(arrays, f'{scorer}/') for scorer in arrays['scorers']}
  except (zipfile.BadZipFile, EOFError, ValueError, KeyError) as error:
    raise ValueError(f'{path} is not a readable evaluation.npz: {error}') from error


def _unpack(arrays: Mapping[str, np.ndarray], prefix: str) -> Sample:
  """Reads the sample whose arrays begin with `prefix`; the inverse of `pack`."""

  def named(field):
    start = f'{prefix}{field}/'
    return {k.removeprefix(start): x for k, x in arrays.items() if k.startswith(start)}

  plain = [f for f in Sample._fields if f not in ('counts', 'values')]
  return Sample(
    **{field: arrays[prefix + field] for field in plain},
    counts=named('counts'),
    values=named('values'),
  )
