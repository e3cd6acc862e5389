"""Functions that compare a scan with the healthy scans of a run and warn if it differs.

The anomaly map is unreliable for a scan of another contrast or scanner, or with a wrong
brain mask. The healthy validation scans show how much suitable scans vary, see
`evaluation.healthy_ranges`.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uad_jax.data.preprocessing.preprocess import Prepared
from uad_jax.evaluation import sample
from uad_jax.evaluation.healthy_ranges import QUANTILES, intensities
from uad_jax.prediction import calibration
from uad_jax.prediction.detection import Detection
from uad_jax.report.atomic_files import read_json_once
from uad_jax.trained_run import TrainedRun

BEYOND = 0.3
"""A quantile is unusual if it lies outside the range of the n healthy scans by more
than the width of the range plus `BEYOND` / sqrt(n) of the interquartile range."""

TIMES, LEAST = 1.5, 0.01
"""A share is unusual above `TIMES` the highest share of a healthy scan plus `LEAST`."""


def ranges(run: TrainedRun, chain: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
  """Reads statistics of the healthy validation scans to compare a scan with.

  Args:
    run: Trained run.
    chain: Preprocessing steps of the scan. If its brain mask was estimated, the
      statistics are those of scans with estimated masks, if the run has them (see
      `calibration`).

  Returns:
    Statistics from `evaluation.healthy_ranges`; {} if the run did not store it.
  """
  if content := calibration.of_run(run, chain):
    return content['healthy_validation']
  return read_json_once(run.folder / 'results.json').get('healthy_validation', {})


def check_intensities(prepared: Prepared, run: TrainedRun) -> None:
  """Warns if a scan's intensities are unlike those of the healthy validation scans.

  Args:
    prepared: Scan that went through `run.steps`.
    run: Trained run.
  """
  healthy = ranges(run, prepared.chain)
  limits = healthy.get('intensity')
  slices = list(prepared.slices)
  brain = prepared.mask[:, :, slices, 0] > 0
  if not limits or not brain.any():
    return
  values = intensities(prepared.image[:, :, slices], brain)
  low, high = np.array([limits[str(q)] for q in QUANTILES]).T
  margin = high - low + BEYOND * (high[-1] - low[0]) / np.sqrt(healthy['scans'])
  unusual = (values < low - margin) | (values > high + margin)
  if unusual.any():
    numbers = [
      f'{q} % quantile {values[i]:.2f}, of the healthy validation scans {low[i]:.2f} '
      f'to {high[i]:.2f}'
      for i, q in enumerate(QUANTILES)
      if unusual[i]
    ]
    warnings.warn(
      f'the intensities in the brain are unusual for the run ({"; ".join(numbers)}): '
      'another contrast or scanner, or a wrong brain mask',
      stacklevel=2,
    )


def highest_share(
  run: TrainedRun, percent: str, chain: Sequence[Mapping[str, Any]] = ()
) -> tuple[float, str] | None:
  """Returns the highest share of voxels above a threshold in any healthy scan.

  Voxels at the threshold count as above it. If the evaluation did not store the shares
  of the healthy validation scans, the healthy tissue of the test scans is used.

  Args:
    run: Trained run.
    percent: Percentage of healthy voxels above the threshold: '1', '5' or '10'.
    chain: Preprocessing steps of the scan to compare, as for `ranges`.

  Returns:
    Share in [0, 1] and a phrase that names the scans used; None if the run has stored
    neither.
  """
  marked = ranges(run, chain).get('marked', {}).get(run.scorer, {})
  if percent in marked:
    return marked[percent][1], 'healthy validation scans'
  path = run.folder / 'evaluation.npz'
  if not path.is_file():
    return None
  counts = sample.load(path)[run.scorer].counts
  if f'fp_at_{percent}' not in counts:
    return None
  shares = counts[f'fp_at_{percent}'] / np.maximum(counts['negatives'], 1)
  return float(shares.max()), 'healthy tissue of the test scans'


def check_share(
  detection: Detection,
  run: TrainedRun,
  percent: str,
  chain: Sequence[Mapping[str, Any]] = (),
) -> None:
  """Warns if the share of brain voxels above the threshold is far above healthy scans.

  Args:
    detection: Detection at the threshold.
    run: Trained run.
    percent: Percentage of healthy voxels above the threshold: '1', '5' or '10'.
    chain: Preprocessing steps of the scan, as for `ranges`.
  """
  known = highest_share(run, percent, chain)
  if known is None:
    return
  reached = np.count_nonzero(detection.marked | detection.removed)
  share = reached / max(np.count_nonzero(detection.brain), 1)
  if share > TIMES * known[0] + LEAST:
    warnings.warn(
      f'{100 * share:.0f} % of the brain is at or above the threshold, of the '
      f'{known[1]} at most {100 * known[0]:.0f} %: a large lesion, or another kind of '
      'scan',
      stacklevel=2,
    )
