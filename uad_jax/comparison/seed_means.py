"""Functions that average estimates of a metric over trainings with several seeds."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from uad_jax.comparison.records import Record, gap
from uad_jax.report.tables import Estimate


def mean(pairs: Sequence[tuple[float | None, int]]) -> float | None:
  """Computes the weighted mean of all values that are not None.

  Args:
    pairs: Values and their weights (numbers of seeds). The mean of no value is None.
  """
  known = [(value, times) for value, times in pairs if value is not None]
  if not known:
    return None
  values, weights = zip(*known, strict=True)
  return float(np.average(values, weights=weights))


def averaged(weighted: Sequence[tuple[Estimate, int]]) -> Estimate:
  """Computes the weighted means of metric values and of their interval bounds."""
  low, high = (mean([(e['interval'][end], n) for e, n in weighted]) for end in (0, 1))
  value = mean([(e['value'], n) for e, n in weighted])
  return {'value': value, 'interval': [low, high]}


def by_method(records: Sequence[Record]) -> dict[str, list[Record]]:
  """Groups the records of a data set by method; variants are left out."""
  groups = defaultdict(list)
  for record in records:
    if not record.variant:
      groups[record.name].append(record)
  return groups


def over_seeds(
  members: Sequence[Record], metric: str, scorer: str | None = None
) -> Estimate:
  """Averages the estimates of one metric over the seeds of a method.

  Args:
    members: Records of one method.
    metric: The metric.
    scorer: The scorer; None takes the chosen scorer of each record.
  """
  entries = [(r.maps.get(scorer or r.default, {}), len(r.seeds)) for r in members]
  return averaged([(maps[metric], n) for maps, n in entries if metric in maps])


def over_baseline(
  members: Sequence[Record], baselines: Sequence[Record]
) -> Estimate | None:
  """Computes the AUPRC of a method minus the baseline's, the mean over its seeds.

  Args:
    members: Records of the method.
    baselines: Records of the baseline; runs of the same seeds are paired.

  Returns:
    The mean of the paired differences and of the ends of their intervals; None for the
    baseline itself, or where no pair has resamples.
  """
  gaps = []
  for record in members:
    pairs = [b for b in baselines if b.seeds == record.seeds and b != record]
    over = (gap(record, pairs[0]) if pairs else None) or record.over
    if over:
      gaps.append((over, len(record.seeds)))
  return averaged(gaps) if gaps else None
