"""Functions that compare the uncertainty of a method with its errors, scan by scan.

The errors of an expected image are those to the scan; where the lesion-free twin is
known (the same scan without its lesion), those to the twin, so that the errors in
lesions are true ones. The errors of a displacement field are the differences to that of
the twin. Errors of several channels are root mean squares over the channels.

Calibrations are fitted on healthy validation scans and applied to the test scans.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from uad_jax.evaluation import bootstrap
from uad_jax.evaluation import uncertainty_measures as measures
from uad_jax.evaluation.registration_quality import regions
from uad_jax.evaluation.scans import Scan
from uad_jax.evaluation.uncertainty_calibration import FITS, Calibrated

DEVIATION = 'deviation/'
"""Prefix of the names of predicted standard deviations among the arrays of a scan:
'deviation/OUTPUT/NAME'."""

EXPECTED_IN = {
  'reconstruction': 'reconstruction',
  'sampled': 'reconstruction',
  'prior': 'prior',
}
"""Output whose error an uncertainty is compared with, by the output that it is of."""

MEASURES = {
  'ence': measures.ence,
  'coverage_error': measures.coverage_error,
  'ause': measures.ause,
  'aurg': measures.aurg,
  'rank': measures.rank,
}
OF_SIZE = ('ence', 'coverage_error')
"""Measures that a calibration is to lower."""

MOST = 20_000
"""Voxels of a region of a scan that are compared, evenly spaced in the array."""

FEWEST = 2 * measures.BINS
"""Regions with fewer voxels are not measured."""

EDGES = np.geomspace(1e-4, 10.0, 41)
"""Edges of the bins of deviation in which all scans are pooled, in units of the
output."""


class Voxels(NamedTuple):
  """Errors and predicted deviations of voxels in a region of a scan.

  Attributes:
    error: Sizes of the errors [N].
    deviation: Predicted standard deviations [N].
    group: Tissue class of each voxel [N]; 0 where it is not known.
  """

  error: np.ndarray
  deviation: np.ndarray
  group: np.ndarray


class Compared(NamedTuple):
  """Comparison of one uncertainty with the errors in one test scan.

  Attributes:
    values: Measures by name, such as 'rank_lesion' or 'ence_healthy_scale'.
    pooled: Sums over the healthy voxels by bin of `EDGES`: numbers of voxels, squares
      of the deviation and of the error, [3, K].
    curves: Sparsification curves of the healthy voxels, by the deviation and by the
      error, [2, measures.STEPS].
  """

  values: dict[str, float]
  pooled: np.ndarray
  curves: np.ndarray


def names(arrays: Mapping[str, np.ndarray]) -> list[str]:
  """Lists the uncertainties among the arrays of a scan, as 'OUTPUT/NAME'."""
  return [name.removeprefix(DEVIATION) for name in arrays if name.startswith(DEVIATION)]


def voxels(scan: Scan, name: str) -> dict[str, Voxels]:
  """Selects the voxels in which an uncertainty is compared with the error.

  Args:
    scan: Scan with 'image', 'mask', the expected image or the displacement, and, if
      known, 'lesion', 'labels' and what belongs to the twin.
    name: Name of the uncertainty, 'OUTPUT/NAME'.

  Returns:
    Voxels of 'healthy' brain, without the surroundings of lesions; for a scan with
    lesion and twin those of the 'lesion', which of a displacement includes the
    surroundings. Empty where the error is not known.
  """
  arrays, of = scan.arrays, name.split('/')[0]
  _, lesion, around, healthy = regions(arrays, scan.planar)
  places = {'healthy': healthy}
  if of == 'displacement':
    if 'twin_displacement' not in arrays or not lesion.any():
      return {}
    difference = arrays['displacement'] - arrays['twin_displacement']
    places['lesion'] = around
  else:
    if (expected := EXPECTED_IN.get(of)) not in arrays:
      return {}
    difference = arrays.get('twin', arrays['image']) - arrays[expected]
    if 'twin' in arrays:
      places['lesion'] = lesion
  error = np.sqrt(np.mean(np.square(difference, dtype=np.float64), -1))
  group = arrays['labels'][..., 0] if 'labels' in arrays else np.zeros(error.shape, int)
  deviation = arrays[DEVIATION + name][..., 0]
  chosen = {}
  for region, where in places.items():
    index = np.flatnonzero(where)
    index = index[:: max(1, -(-len(index) // MOST))]
    if len(index) >= FEWEST:
      chosen[region] = Voxels(
        *(np.ravel(array)[index] for array in (error, deviation, group))
      )
  return chosen


def watched(scans: Iterable[Scan], seen: list[dict[str, Voxels]]) -> Iterator[Scan]:
  """Yields scans unchanged and notes their healthy voxels, for `fit`.

  Args:
    scans: Healthy scans.
    seen: List to which the voxels of each scan are added, by name of the uncertainty.
  """
  for scan in scans:
    of_scan = {name: voxels(scan, name) for name in names(scan.arrays)}
    seen.append({n: v['healthy'] for n, v in of_scan.items() if 'healthy' in v})
    yield scan


def fit(seen: list[dict[str, Voxels]]) -> dict[str, dict[str, Calibrated]]:
  """Fits all calibrations of each uncertainty on healthy voxels.

  Args:
    seen: Voxels by name of the uncertainty, for each scan.

  Returns:
    Calibrations by name of the uncertainty and of the calibration; that by group only
    where tissue classes are known.
  """
  calibrations = {}
  for name in dict.fromkeys(name for scan in seen for name in scan):
    parts = [scan[name] for scan in seen if name in scan]
    pooled = Voxels(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    calibrations[name] = {
      kind: fitted(*pooled)
      for kind, fitted in FITS.items()
      if kind != 'group' or pooled.group.any()
    }
  return calibrations


def compare(
  scan: Scan, calibrations: Mapping[str, Mapping[str, Calibrated]]
) -> dict[str, Compared]:
  """Compares each uncertainty of a test scan with the errors.

  Args:
    scan: Test scan.
    calibrations: Calibrations from `fit`.
  """
  compared = {}
  for name in names(scan.arrays):
    parts, values = voxels(scan, name), {}
    for region, (error, deviation, _) in parts.items():
      for measure, compute in MEASURES.items():
        values[f'{measure}_{region}'] = compute(error, deviation)
    if 'healthy' not in parts:
      continue
    error, deviation, group = parts['healthy']
    for kind, calibrated in calibrations.get(name, {}).items():
      changed = calibrated(deviation, group)
      for measure in OF_SIZE:
        values[f'{measure}_healthy_{kind}'] = MEASURES[measure](error, changed)
    index = np.clip(np.searchsorted(EDGES, deviation) - 1, 0, len(EDGES) - 2)
    pooled = np.array(
      [
        np.bincount(index, weight, len(EDGES) - 1)
        for weight in (np.ones_like(error), np.float64(deviation) ** 2, error**2)
      ]
    )
    curves = [measures.sparsification(error, by) for by in (deviation, error)]
    compared[name] = Compared(values, pooled, np.array(curves))
  return compared


def summarise(
  scans: list[dict[str, Compared]], resamples: int, seed: int
) -> dict[str, dict]:
  """Computes the entry 'uncertainty' of results.json from all test scans.

  Args:
    scans: Comparisons by name of the uncertainty, for each scan.
    resamples: Number of bootstrap resamples of the scans.
    seed: Seed of the resampling.

  Returns:
    For each uncertainty 'metrics', means over the scans as estimates with intervals;
    'reliability' of the pooled healthy voxels ('count', 'deviation', 'error', lists by
    bin); 'sparsification', mean curves 'removed', 'error' and 'oracle'.
  """
  summary = {}
  for name in dict.fromkeys(name for scan in scans for name in scan):
    parts = [scan[name] for scan in scans if name in scan]
    metrics = {}
    for metric in dict.fromkeys(m for part in parts for m in part.values):
      known = np.array([part.values.get(metric, np.nan) for part in parts])
      known = known[np.isfinite(known)]
      if known.size:
        value, low, high = map(float, bootstrap.mean_of(known, resamples, seed))
        metrics[metric] = {'value': value, 'interval': [low, high]}
    count, *squares = np.sum([part.pooled for part in parts], 0)
    used = count > 0
    deviation, error = (np.sqrt(square[used] / count[used]) for square in squares)
    by_deviation, oracle = np.mean([part.curves for part in parts], 0)
    summary[name] = {
      'metrics': metrics,
      'reliability': {
        'count': count[used].astype(int).tolist(),
        'deviation': deviation.tolist(),
        'error': error.tolist(),
      },
      'sparsification': {
        'removed': (np.arange(measures.STEPS) / measures.STEPS).tolist(),
        'error': by_deviation.tolist(),
        'oracle': oracle.tolist(),
      },
    }
  return summary
