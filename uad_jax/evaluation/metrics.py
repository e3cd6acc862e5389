"""Dictionaries that map the name of each metric to the function that computes it.

Each function takes a `bootstrap.Resampled` and computes the metric in each resample.
A name with the suffix `_at_5` is a metric at the threshold that 5 % of the brain voxels
of healthy validation scans reach; with the prefix `oracle_`, at the threshold that the
lesion masks show to be best.
POOLED metrics put all voxels (or lesions) of all test scans together; SUBJECT metrics
are averaged over scans with lesions; RESTORATION metrics describe the reconstruction
(symbols in `reconstruction_quality`), REGISTRATION metrics the deformation and the gate
(symbols in `registration_quality`).
"""

import numpy as np

from uad_jax.evaluation.bootstrap import Metric
from uad_jax.evaluation.histogram import Ranking
from uad_jax.evaluation.lesionwise import SIZE_NAMES
from uad_jax.evaluation.metric_forms import mean, ranked, ratio, separation

FPR_PERCENT = (1, 5, 10)
QUANTILE = 0.99
"""Quantile of the anomaly map inside the brain mask that serves as a score of the scan,
besides the mean."""


def dice(a: np.ndarray, b: np.ndarray) -> float:
  """Computes the Dice coefficient of two binary masks; nan if both are empty.

  It is 2 |A and B| / (|A| + |B|).
  """
  total = np.sum(a > 0) + np.sum(b > 0)
  return float(2 * np.sum((a > 0) & (b > 0)) / total) if total else np.nan


def _at(percent: int) -> dict[str, Metric]:
  """Makes the pooled metrics at the threshold for `percent` % of healthy voxels."""
  at = f'at_{percent}'
  hits, false = f'tp_{at}', f'fp_{at}'
  detected, correct, detections = f'found_{at}', f'correct_{at}', f'predictions_{at}'
  recall = ratio({detected: 1}, {'lesions': 1})
  precision = ratio({correct: 1}, {detections: 1})

  def f1(resampled):
    r, p = recall(resampled), precision(resampled)
    with np.errstate(invalid='ignore', divide='ignore'):
      # No detection at all has no precision, yet a recall and so an F1 of zero.
      return np.where(r + np.nan_to_num(p) == 0, 0.0, 2 * r * p / (r + p))

  return {
    f'dice_{at}': ratio({hits: 2}, {hits: 1, false: 1, 'positives': 1}),
    f'recall_{at}': ratio({hits: 1}, {'positives': 1}),
    f'fpr_{at}': ratio({false: 1}, {'negatives': 1}),
    f'healthy_fpr_{at}': ratio({false: 1}, {'negatives': 1}, where='healthy'),
    f'lesion_recall_{at}': recall,
    f'lesion_precision_{at}': precision,
    f'lesion_f1_{at}': f1,
  }


POOLED: dict[str, Metric] = {
  'prevalence': ratio({'positives': 1}, {'positives': 1, 'negatives': 1}),
  **{name: ranked(name) for name in Ranking._fields},
  'image_auroc_mean': separation('score_mean'),
  'image_auroc_q99': separation('score_q99'),
}
for _percent in FPR_PERCENT:
  POOLED |= _at(_percent)

SUBJECT: dict[str, Metric] = {
  name: mean(name, where='diseased')
  for name in (*Ranking._fields, *(f'dice_at_{percent}' for percent in FPR_PERCENT))
}

RESTORATION: dict[str, Metric] = {
  'lesion_copied': mean('lesion_copied', where='diseased'),
  'healthy_error': mean('healthy_error'),
}

REGISTRATION: dict[str, Metric] = {
  'ventricle_dice': mean('ventricle_dice'),
  'ventricle_dice_before': mean('ventricle_dice_before'),
  'ventricle_dice_ceiling': mean('ventricle_dice_ceiling'),
  'folding_fraction': mean('folding_fraction'),
  'strain_healthy': mean('strain_healthy'),
  'strain_lesion': mean('strain_lesion', where='diseased'),
  'dlr': mean('dlr', where='diseased'),
  'rkr': mean('rkr', where='diseased'),
  'hrr': mean('hrr'),
  'cfe': mean('cfe', where='diseased'),
  'gate_healthy_open': mean('gate_healthy_open'),
  'gate_lesion_recall': mean('gate_lesion_recall', where='diseased'),
}

BY_SIZE: dict[str, dict[str, Metric]] = {
  size: {
    f'lesion_recall_at_{percent}': ratio(
      {f'found_at_{percent} {size}': 1}, {f'lesions {size}': 1}
    )
    for percent in FPR_PERCENT
  }
  for size in SIZE_NAMES
}

METRICS: dict[str, Metric] = {
  **POOLED,
  **{f'subject_{name}': metric for name, metric in SUBJECT.items()},
  **RESTORATION,
  **REGISTRATION,
}
"""All metrics by name, for `bootstrap.paired`."""
