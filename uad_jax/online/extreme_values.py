"""Functions that set alarm thresholds by extreme value theory (SPOT and DSPOT).

The excesses of scores over a high quantile follow a generalised Pareto distribution
(Pickands 1975), P(Y > y) = (1 + shape y / scale)^(-1 / shape). Its tail gives alarm
thresholds at rates far below one in the number of scores. It needs no healthy labels,
only that alarms are rare, and serves where too few calibration scans exist for a
conformal level.
"""

from typing import NamedTuple

import numpy as np

from uad_jax.online.generalised_pareto import fit_pareto, tail_excess
from uad_jax.online.score_checks import check_level, check_score, check_scores
from uad_jax.ops.limits import check_number, check_whole


class Spot(NamedTuple):
  """State of SPOT, and of DSPOT where a window of scores is kept.

  Scores are compared after the mean of the window is subtracted; without window it
  is 0. The excesses grow by one value for each score beyond the threshold t, about 2 %
  of the stream.

  Attributes:
    risk: Wanted probability q of an alarm for a normal score.
    threshold: Threshold t, a high quantile of the first scores.
    alarm: Alarm threshold z_q, at least t.
    shape: Shape of the Pareto distribution.
    scale: Scale of the Pareto distribution, in units of the score.
    count: Number n of normal scores so far.
    excesses: Amounts by which normal scores exceeded t, [N_t].
    window: Last d normal scores, oldest first, [d]; empty for SPOT.
  """

  risk: float
  threshold: float
  alarm: float
  shape: float
  scale: float
  count: int
  excesses: np.ndarray
  window: np.ndarray


def start(
  scores: np.ndarray | list[float], risk: float, level: float = 0.98, depth: int = 0
) -> Spot:
  """Creates the state of SPOT or DSPOT from first scores.

  Siffer et al. 2017 (KDD), algorithms 1 and 2: t is the 98 % quantile of the first
  scores, and the Pareto distribution is fitted to what exceeds it.

  Args:
    scores: First scores of the stream, in order, [n]; finite. DSPOT uses the first
      `depth` of them only as the first window.
    risk: Probability q of an alarm for a normal score, in (0, 1 - level).
    level: Probability of the quantile t, in (0, 1).
    depth: Number d of normal scores in the window of DSPOT; 0 is SPOT.

  Raises:
    ValueError: An option is out of its range; the scores are empty, not finite, no more
      than `depth`, or none exceeds the quantile.
  """
  check_level('level', level)
  check_level('risk', risk)
  check_whole('depth', depth, 0)
  if risk >= 1 - level:
    raise ValueError(f'risk is {risk}; allowed is a number below 1 - level')
  scores = check_scores('scores', scores).astype(np.float64)
  if not np.isfinite(scores).all():
    raise ValueError('scores holds infinite numbers; allowed are finite numbers')
  if scores.size <= depth:
    raise ValueError(f'there are {scores.size} scores; depth {depth} needs more')
  changes = scores
  if depth:
    windows = np.lib.stride_tricks.sliding_window_view(scores[:-1], depth)
    changes = scores[depth:] - windows.mean(1)
  threshold = float(np.quantile(changes, level))
  excesses = changes[changes > threshold] - threshold
  if excesses.size == 0:
    raise ValueError(
      f'no score exceeds the {level} quantile; allowed are varied scores'
    )
  window = scores[scores.size - depth :]
  state = Spot(
    float(risk), threshold, threshold, 0.0, 1.0, changes.size, excesses, window
  )
  return _refit(state)


def update(state: Spot, score: float) -> tuple[Spot, bool]:
  """Decides on one score, and learns from it unless it is an alarm.

  Siffer et al. 2017, algorithms 1 and 2. A score above z_q is an alarm and changes
  nothing. A score in (t, z_q] is an excess: the distribution is fitted anew and z_q
  computed. Any other is only counted. DSPOT also moves its window by normal scores.
  As alarms are not learnt from, the fitted tail is a little short: on 6000 exponential
  scores after 2000 first ones, the rate of alarms was 1.5 q.

  Args:
    state: State before the score.
    score: New score, finite.

  Returns:
    The state after the score, and whether it is an alarm.

  Raises:
    ValueError: The score is not a finite number.
  """
  check_number('score', check_score('score', score))
  change = float(score) - _centre(state)
  if change > state.alarm:
    return state, True
  # The arrays of the state before are not written to: replays start from them.
  window = np.append(state.window, float(score))[1:] if state.window.size else ()
  state = state._replace(count=state.count + 1, window=np.asarray(window, np.float64))
  if change <= state.threshold:
    return state, False
  excesses = np.append(state.excesses, change - state.threshold)
  return _refit(state._replace(excesses=excesses)), False


def alarm_threshold(state: Spot) -> float:
  """Returns the score above which the next score is an alarm, in units of the score."""
  return state.alarm + _centre(state)


def _centre(state: Spot) -> float:
  """Mean of the window of DSPOT; 0 for SPOT."""
  return float(state.window.mean()) if state.window.size else 0.0


def _refit(state: Spot) -> Spot:
  """Fits the excesses and computes z_q = t + scale / shape ((q n / N_t)^-shape - 1).

  Below t the distribution says nothing: where q exceeds the share N_t / n, z_q is t.
  """
  tail = fit_pareto(state.excesses)
  chance = min(state.risk * state.count / state.excesses.size, 1.0)
  alarm = state.threshold + tail_excess(tail, chance)
  return state._replace(alarm=alarm, shape=tail.shape, scale=tail.scale)
