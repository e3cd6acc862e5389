"""Functions that decide on a stream of scans at a bounded false discovery rate.

The level of scan t, alpha_t = alpha gamma_t (|R_{t-1}| + 1), is fixed before it is
seen: a share gamma_t of alpha, times one more than the number of discoveries so far.
"""

import math
from typing import NamedTuple

from scipy import special

from uad_jax.online.score_checks import check_level, check_p_value, check_score
from uad_jax.ops.limits import check_number


class Discoveries(NamedTuple):
  """State of LOND and e-LOND.

  Attributes:
    alpha: False discovery rate.
    exponent: Exponent s of the shares gamma_t = t^-s / zeta(s), which sum to 1.
    count: Number of scans so far.
    discoveries: Number of scans so far that were called anomalous.
  """

  alpha: float
  exponent: float
  count: int = 0
  discoveries: int = 0


def start(alpha: float, exponent: float = 1.6) -> Discoveries:
  """Creates the state of LOND or e-LOND.

  Args:
    alpha: False discovery rate in (0, 1).
    exponent: Exponent s above 1 of gamma_t; small values keep power for late scans.

  Raises:
    ValueError: An option is out of its range.
  """
  check_level('alpha', alpha)
  check_number('exponent', exponent, 1, above=True)
  return Discoveries(float(alpha), float(exponent))


def share(count: int, exponent: float) -> float:
  """Computes gamma_t = t^-s / zeta(s), the share of alpha for scan t = `count`.

  Args:
    count: Number t of the scan, from 1.
    exponent: Exponent s above 1.
  """
  return float(count**-exponent / special.zeta(exponent))


def level(state: Discoveries) -> float:
  """Computes the level alpha_t = alpha gamma_t (|R_{t-1}| + 1) of the next scan."""
  gamma = share(state.count + 1, state.exponent)
  return state.alpha * gamma * (state.discoveries + 1)


def lond(state: Discoveries, p_value: float) -> tuple[Discoveries, bool]:
  """Decides on one scan by LOND: it is anomalous if p_t <= alpha_t.

  Javanmard and Montanari 2018 (Ann. Stat. 46). The rate holds for p-values
  that are independent, or positively dependent (PRDS) as those of one calibration set
  are (Zrnic, Ramdas and Jordan 2021). A conformal p-value is at least 1 / (n + 1), so n
  bounds the length of a stream on which a first discovery is possible.

  Args:
    state: State before the scan.
    p_value: p-value of the scan in (0, 1].

  Returns:
    The state after the scan, and whether the scan is called anomalous.

  Raises:
    ValueError: The p-value is outside (0, 1].
  """
  check_p_value('p_value', p_value)
  return _note(state, p_value <= level(state))


def e_lond(state: Discoveries, e_value: float) -> tuple[Discoveries, bool]:
  """Decides on one scan by e-LOND: it is anomalous if e_t >= 1 / alpha_t.

  Xu and Ramdas 2024 (AISTATS). The rate holds under any dependence.

  Args:
    state: State before the scan.
    e_value: e-value of the scan, 0 or more; its mean is at most 1 in healthy scans.

  Returns:
    The state after the scan, and whether the scan is called anomalous.

  Raises:
    ValueError: The e-value is negative or nan.
  """
  if check_score('e_value', e_value) < 0:
    raise ValueError(f'e_value is {e_value}; allowed is a number of 0 or more')
  return _note(state, e_value >= 1 / level(state))


def _note(state: Discoveries, rejected: bool) -> tuple[Discoveries, bool]:
  """Counts a scan and its decision."""
  discoveries = state.discoveries + int(rejected)
  state = state._replace(count=state.count + 1, discoveries=discoveries)
  return state, bool(rejected)


def e_value(p_value: float, kappa: float | None = None) -> float:
  """Calibrates a p-value to an e-value.

  Vovk and Wang 2021 (Ann. Stat. 49), section 2: e = kappa p^(kappa - 1), and its
  average over kappa in (0, 1), e = (1 - p + p ln p) / (p (ln p)^2). Both integrate to 1
  over p in (0, 1] and fall with p, so the mean is at most 1 in healthy scans.

  >>> e_value(0.01, 0.5)
  5.0

  Args:
    p_value: p-value in (0, 1].
    kappa: Exponent in (0, 1), small for few strong signals; None takes the average.

  Raises:
    ValueError: The p-value is outside (0, 1], or kappa outside (0, 1).
  """
  check_p_value('p_value', p_value)
  if kappa is not None:
    check_level('kappa', kappa)
    return float(kappa * p_value ** (kappa - 1))
  log = math.log(p_value)
  if log > -1e-3:  # the fraction tends to 0 / 0; its Taylor series is exact here
    return sum((-log) ** k / math.factorial(k + 2) for k in range(5))
  return (1 - p_value + p_value * log) / (p_value * log**2)
