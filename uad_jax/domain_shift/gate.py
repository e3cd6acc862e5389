"""Gate before anomaly detection: p-value that a scan lies outside the training domain.

It compares diffuse statistics of a scan (`statistics.DIFFUSE`), which a focal lesion
hardly moves, with those of n healthy scans of the training scanner, by full conformal
prediction (Vovk et al. 2005): the new scan and the healthy ones get nonconformity
scores by the same rule, each from all scans but itself. If the new scan is exchangeable
with the healthy ones, P(p <= a) <= a for each a and each n. The smallest p-value
possible is 1 / (n + 1). The healthy scans must be prepared as the new one is, and be
scans that the model was not trained on if there are statistics of the residual among
them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from uad_jax.domain_shift.statistics import DIFFUSE, STATISTICS
from uad_jax.ops.choices import check_choice

LEAST = 8
"""Healthy scans that a gate needs; with fewer no p-value is below 1 in 9."""

_PRIOR = 10.0
"""Number of scans at which MAD and standard deviation have the same weight."""

_SHRINKAGE = 0.5
"""Weight of the identity in the correlation of the statistics, which a few scans tell
only roughly."""

_NAMED = 3.0
"""Standard deviations from which on a statistic is called unusual."""


class Gate(NamedTuple):
  """Statistics of healthy scans of the training domain.

  Attributes:
    names: [J] names of the statistics.
    values: [n, J] statistics of n healthy scans, one scan a subject.
  """

  names: tuple[str, ...]
  values: np.ndarray


class Answer(NamedTuple):
  """Decision of the gate on one scan.

  Attributes:
    p: p-value in (0, 1] of 'the scan is of the training domain'.
    smallest: Smallest p-value possible, 1 / (n + 1).
    score: Nonconformity score, see `scores`; ranks scans whose p-values are equal.
    deviations: z of each statistic, in robust standard deviations of the healthy scans,
      by name; the most unusual comes first. 0 on the side that is not unusual.
  """

  p: float
  smallest: float
  score: float
  deviations: dict[str, float]


def fit(healthy: Sequence[Mapping[str, float]], names: Sequence[str] = DIFFUSE) -> Gate:
  """Makes a gate from the statistics of healthy scans of the training domain.

  Args:
    healthy: Statistics by name (`statistics.of_scan`) of each scan, one a subject.
    names: Statistics to use; those that a scan lacks or that are not finite for a scan
      are left out.

  Raises:
    ValueError: There are fewer than `LEAST` scans, a name is not in
      `statistics.STATISTICS`, or no statistic can be used.
  """
  if len(healthy) < LEAST:
    raise ValueError(
      f'the gate is given {len(healthy)} healthy scans; allowed are {LEAST} or more'
    )
  for name in names:
    check_choice('statistic', name, STATISTICS, 'gate')
  usable = tuple(
    name
    for name in names
    if all(math.isfinite(scan.get(name, math.nan)) for scan in healthy)
  )
  if not usable:
    raise ValueError(
      f'the healthy scans have none of the statistics {", ".join(names)} in common'
    )
  values = np.array([[scan[name] for name in usable] for scan in healthy], np.float64)
  return Gate(usable, values)


def ask(gate: Gate, scan: Mapping[str, float]) -> Answer:
  """Computes the p-value of 'this scan is of the training domain'.

  p = (1 + #{i: s_i >= s}) / (n + 1) with the score s of the scan against the n healthy
  scans, and s_i of healthy scan i against the other healthy scans and the new one, by
  `scores`.

  Args:
    gate: Healthy scans, from `fit`.
    scan: Statistics by name of the new scan, from `statistics.of_scan`.

  Raises:
    ValueError: The scan lacks a statistic of the gate, or it is not finite.
  """
  unusable = [n for n in gate.names if not math.isfinite(scan.get(n, math.nan))]
  if unusable:
    raise ValueError(
      'the gate needs finite statistics of the scan; missing or not finite are '
      f'{", ".join(unusable)}'
    )
  new = np.array([[scan[name] for name in gate.names]], np.float64)
  everything = np.concatenate([gate.values, new])
  sides = np.array([STATISTICS[name].side for name in gate.names])
  values = np.array(
    [
      scores(everything[i : i + 1], np.delete(everything, i, 0), sides)[0]
      for i in range(len(everything))
    ]
  )
  z = deviations(new[0], gate.values, sides)
  count = len(everything)
  order = np.argsort(-np.abs(z), kind='stable')
  return Answer(
    float(np.sum(values >= values[-1]) / count),
    1 / count,
    float(values[-1]),
    {gate.names[j]: float(z[j]) for j in order},
  )


def scores(scans: np.ndarray, others: np.ndarray, sides: np.ndarray) -> np.ndarray:
  """Computes the nonconformity scores of scans against other scans.

  s^2 = z^T R^-1 z / J, the Mahalanobis distance of the `deviations` z, where R is the
  correlation of the statistics over the other scans, shrunk halfway to the identity:
  statistics that rise and fall together in healthy scans are unusual where one moves
  alone. A shift changes many statistics, so that all count and not the largest alone.

  Args:
    scans: [m, J] statistics of the scans.
    others: [n, J] statistics of the other scans.
    sides: [J], see `deviations`.

  Returns:
    [m] scores; about 1 for scans like the others.
  """
  z = deviations(scans, others, sides)
  centred = others - others.mean(0)
  norms = np.sqrt((centred**2).sum(0))
  centred = centred / np.where(norms > 0, norms, 1)
  size = z.shape[-1]
  correlation = (1 - _SHRINKAGE) * centred.T @ centred
  np.fill_diagonal(correlation, 1)
  return np.sqrt(np.einsum('mj,jm->m', z, np.linalg.solve(correlation, z.T)) / size)


def deviations(scan: np.ndarray, others: np.ndarray, sides: np.ndarray) -> np.ndarray:
  """Computes by how many robust standard deviations a scan differs from other scans.

  z = (x - median) / s with s^2 = (1 - w) (1.4826 MAD)^2 + w SD^2, w = 10 / (10 + n):
  the median absolute deviation does not see a few odd scans, but is poor for few scans,
  where it is shrunk towards the standard deviation.

  Args:
    scan: [J] statistics of the scan, or [m, J] of m scans.
    others: [n, J] statistics of the other scans.
    sides: [J] of 1, -1 or 0, see `statistics.Statistic.side`; z is 0 on the side that
      is not unusual.

  Returns:
    z, [J] or [m, J]. Where the other scans agree exactly, a scan that differs is many
    deviations away.
  """
  count = len(others)
  weight = _PRIOR / (_PRIOR + count)
  centre = np.median(others, 0)
  mad = 1.4826 * np.median(np.abs(others - centre), 0)
  scale = np.sqrt((1 - weight) * mad**2 + weight * others.var(0, ddof=1))
  z = (scan - centre) / np.maximum(scale, 1e-6 * np.abs(centre) + 1e-12)
  return np.where(sides * z < 0, 0.0, z)


def outside(answer: Answer, level: float = 0.05) -> bool:
  """Tells whether a scan is to be called outside of the training domain.

  With fewer than 1 / level - 1 healthy scans no p-value reaches the level; it is then
  raised to the smallest p-value possible, which is the rate of false alarms.

  Args:
    answer: Answer of the gate.
    level: Allowed rate of false alarms, in (0, 1).
  """
  return answer.p <= max(level, answer.smallest)


def unusual(answer: Answer, most: int = 3) -> list[str]:
  """Returns the statistics of a scan that are most unusual, in words.

  Args:
    answer: Answer of the gate.
    most: Largest number of statistics.

  Returns:
    Those more than 3 robust standard deviations away, the most unusual first; the first
    alone if none is.
  """
  far = [name for name, z in answer.deviations.items() if abs(z) > _NAMED]
  far = far or list(answer.deviations)[:1]
  return [STATISTICS[name].words for name in far[:most]]


def sentence(answer: Answer, level: float = 0.05) -> str:
  """Describes the answer of the gate in one sentence for a user.

  Args:
    answer: Answer of the gate.
    level: Allowed rate of false alarms, as in `outside`.
  """
  p = f'p = {answer.p:.2g}'
  if not outside(answer, level):
    return f'this scan lies within the training domain ({p})'
  if answer.p <= answer.smallest:
    p += f', the smallest that {round(1 / answer.smallest) - 1} healthy scans allow'
  return (
    f'this scan lies outside of the training domain ({p}: {", ".join(unusual(answer))})'
  )


def state(gate: Gate) -> dict[str, Any]:
  """Converts a gate to lists that can be written as JSON; `restored` reads them."""
  return {'names': list(gate.names), 'values': gate.values.tolist()}


def restored(stored: Mapping[str, Any]) -> Gate:
  """Makes a gate from its `state`.

  Raises:
    ValueError: The state is damaged, or names a statistic that does not exist.
  """
  try:
    names, values = stored['names'], np.array(stored['values'], np.float64)
  except (KeyError, TypeError, ValueError) as error:
    raise ValueError(f'the state of the gate is damaged: {error}') from error
  if values.ndim != 2 or values.shape[1] != len(names):
    raise ValueError(
      f'the state of the gate is damaged: {len(names)} names, values {values.shape}'
    )
  return fit([dict(zip(names, row, strict=True)) for row in values.tolist()], names)
