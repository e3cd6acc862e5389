"""Functions that adapt an error rate or a quantile to a stream, from its mistakes.

Adaptive conformal inference moves the level at which p-values are called anomalous
until the share of healthy scans that were flagged is the target, whatever the drift. It
needs a reader's answer for each decision: was the scan healthy? The answer may come
later, in any order, or never. Quantile tracking needs no answers and follows the
quantile of all scores, those of lesions included.
"""

from collections.abc import Sequence
from typing import NamedTuple

from uad_jax.online.score_checks import check_level, check_p_value, check_score
from uad_jax.ops.limits import check_number, check_whole


class AdaptiveLevel(NamedTuple):
  """State of adaptive conformal inference with delayed feedback.

  Attributes:
    target: Wanted share alpha of healthy scans that are flagged.
    rate: Step size gamma of the level.
    level: Current level alpha_t; it may leave [0, 1] by `rate` for each open decision.
    capacity: Largest number of open decisions; the oldest is dropped beyond it.
    pending: Identifiers of the open decisions, oldest first.
    flagged: Whether each open decision called its scan anomalous.
    answers: Number of answers about healthy scans so far.
    errors: Number of these healthy scans that had been flagged.
  """

  target: float
  rate: float
  level: float
  capacity: int
  pending: Sequence[str] = ()
  flagged: Sequence[bool] = ()
  answers: int = 0
  errors: int = 0


def start_level(
  target: float,
  rate: float = 0.005,
  level: float | None = None,
  capacity: int = 1000,
) -> AdaptiveLevel:
  """Creates the state of adaptive conformal inference.

  Args:
    target: Wanted share of healthy scans that are flagged, in (0, 1).
    rate: Step size gamma, above 0; 0.005 in Gibbs and Candes 2021.
    level: First level alpha_1 in (0, 1); the target by default.
    capacity: Largest number of open decisions, 1 or more.

  Raises:
    ValueError: An option is out of its range.
  """
  check_level('target', target)
  check_number('rate', rate, 0, above=True)
  check_level('level', level := target if level is None else level)
  check_whole('capacity', capacity, 1)
  return AdaptiveLevel(float(target), float(rate), float(level), int(capacity))


def decide(
  state: AdaptiveLevel, identifier: str, p_value: float
) -> tuple[AdaptiveLevel, bool]:
  """Flags a scan if its p-value is at most the current level, and notes the decision.

  Args:
    state: State before the scan.
    identifier: Name of the scan, not that of an open decision.
    p_value: Conformal p-value of the scan in (0, 1].

  Returns:
    The state with the decision open, and whether the scan is flagged.

  Raises:
    ValueError: The p-value is outside (0, 1], or the name has an open decision.
  """
  check_p_value('p_value', p_value)
  if identifier in state.pending:
    raise ValueError(f"scan '{identifier}' has an open decision; each scan has one")
  flag = bool(p_value <= state.level)
  pending = (*state.pending, identifier)[-state.capacity :]
  flagged = (*state.flagged, flag)[-state.capacity :]
  return state._replace(pending=pending, flagged=flagged), flag


def feedback(state: AdaptiveLevel, identifier: str, healthy: bool) -> AdaptiveLevel:
  """Closes a decision with a reader's answer, and moves the level if it was healthy.

  Gibbs and Candes 2021 (NeurIPS), equation 2: alpha_{t+1} = alpha_t + gamma (alpha -
  err_t), with err_t = 1 if the healthy scan had been flagged, and 0 if not. A scan with
  a lesion says nothing about the rate in healthy scans and only closes its decision.

  Args:
    state: State before the answer.
    identifier: Name of a scan with an open decision.
    healthy: Whether the scan was healthy.

  Raises:
    ValueError: The scan has no open decision.
  """
  if identifier not in state.pending:
    raise ValueError(
      f"scan '{identifier}' has no open decision; there are {len(state.pending)} others"
    )
  place = list(state.pending).index(identifier)
  error = bool(state.flagged[place])
  state = state._replace(
    pending=(*state.pending[:place], *state.pending[place + 1 :]),
    flagged=(*state.flagged[:place], *state.flagged[place + 1 :]),
  )
  if not healthy:
    return state
  return state._replace(
    level=state.level + state.rate * (state.target - error),
    answers=state.answers + 1,
    errors=state.errors + error,
  )


def error_bound(
  level: float, rate: float, answers: int, most_pending: int = 1
) -> float:
  """Computes the largest possible distance of the error rate from its target.

  Gibbs and Candes 2021, proposition 4.1, for any sequence of scans: |mean err - alpha|
  <= (max(alpha_1, 1 - alpha_1) + m gamma) / (T gamma), with m = 1 there. With delays, m
  is the largest number of open decisions: once the level has left [0, 1], only answers
  to decisions that were open already can move it further out.

  >>> round(error_bound(0.1, 0.005, 2000), 6)
  0.0905

  Args:
    level: First level alpha_1 in (0, 1).
    rate: Step size gamma, above 0.
    answers: Number T of answers about healthy scans, 1 or more.
    most_pending: Largest number m of open decisions, the one being answered included.

  Raises:
    ValueError: An option is out of its range.
  """
  check_level('level', level)
  check_number('rate', rate, 0, above=True)
  check_whole('answers', answers, 1)
  check_whole('most_pending', most_pending, 1)
  return (max(level, 1 - level) + most_pending * rate) / (answers * rate)


class TrackedQuantile(NamedTuple):
  """State of an online estimate of an upper quantile.

  Attributes:
    share: Wanted share alpha of the scores above the quantile.
    rate: First step size eta, in units of the score.
    decay: Exponent of the step size, eta_t = eta t^-decay; 0 keeps it constant.
    quantile: Current estimate q.
    count: Number of scores so far.
  """

  share: float
  rate: float
  decay: float
  quantile: float
  count: int = 0


def start_quantile(
  quantile: float, share: float, rate: float, decay: float = 0.0
) -> TrackedQuantile:
  """Creates the state of quantile tracking.

  Args:
    quantile: First estimate, such as the quantile of the calibration scores.
    share: Wanted share of the scores above it, in (0, 1).
    rate: First step size in units of the score, above 0; 0.05 interquartile ranges are
      usual.
    decay: Exponent in [0, 1]; 0 follows drift, above 0.5 converges if there is none
      (Angelopoulos, Barber and Bates 2024).

  Raises:
    ValueError: An option is out of its range.
  """
  check_number('quantile', quantile)
  check_level('share', share)
  check_number('rate', rate, 0, above=True)
  check_number('decay', decay, 0, 1)
  return TrackedQuantile(float(share), float(rate), float(decay), float(quantile))


def track(state: TrackedQuantile, score: float) -> TrackedQuantile:
  """Moves the estimate of a quantile by one score.

  Robbins and Monro 1951; the quantile tracker of Angelopoulos, Candes and Tibshirani
  2023: q <- q + eta_t (1{s > q} - alpha).

  Args:
    state: State before the score.
    score: New score.

  Raises:
    ValueError: The score is not a number, or nan.
  """
  above = check_score('score', score) > state.quantile
  rate = state.rate * (state.count + 1) ** -state.decay
  return state._replace(
    quantile=state.quantile + rate * (above - state.share), count=state.count + 1
  )
