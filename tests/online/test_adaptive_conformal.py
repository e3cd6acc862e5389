import json
import math

import numpy as np
import pytest
from scipy import stats

from uad_jax.online import adaptive_conformal as adaptive


def run(state, p_values, delays, healthy):
  """Answers each decision `delays` scans later (None: never); returns all levels."""
  due, flags, levels, most = {}, [], [], 0
  for t, p in enumerate(p_values):
    state, flag = adaptive.decide(state, f'scan-{t}', p)
    flags.append(flag)
    most = max(most, len(state.pending))
    if delays[t] is not None:
      due.setdefault(t + delays[t], []).append(t)
    for answered in due.pop(t, ()):
      state = adaptive.feedback(state, f'scan-{answered}', healthy[answered])
      levels.append(state.level)
  return state, flags, levels, most


def test_answers_without_delay_give_the_recursion_of_the_paper():
  # Oracle: alpha <- alpha + gamma (target - err), in a loop.
  p_values = 1 - np.random.default_rng(0).random(300)
  _, _, levels, _ = run(
    adaptive.start_level(0.1, 0.02), p_values, [0] * 300, [True] * 300
  )
  level, expected = 0.1, []
  for p in p_values:
    level = level + 0.02 * (0.1 - (p <= level))
    expected.append(level)
  assert levels == expected


@pytest.mark.parametrize('delay', [0, 7])
@pytest.mark.parametrize('first', [0.05, 0.9])
@pytest.mark.parametrize('kind', ['tiny', 'large', 'waves', 'random', 'adversary'])
def test_the_error_rate_keeps_its_bound_on_any_sequence(kind, first, delay):
  rate, steps = 0.05, 400
  state = adaptive.start_level(0.1, rate, first)
  rng = np.random.default_rng(1)
  p_values = {
    'tiny': np.full(steps, 1e-9),
    'large': np.ones(steps),
    'waves': np.where(np.arange(steps) // 60 % 2 == 0, 1e-9, 1.0),
    'random': 1 - rng.random(steps) ** 3,
    # Just flagged while the level falls, and just not while it rises.
    'adversary': np.clip(0.5 + 0.5 * np.sin(np.arange(steps) / 9), 1e-9, 1),
  }[kind]
  state, _, levels, most = run(state, p_values, [delay] * steps, [True] * steps)
  bound = adaptive.error_bound(first, rate, state.answers, most)
  assert most == delay + 1 and state.answers == steps - delay
  assert abs(state.errors / state.answers - 0.1) <= bound + 1e-12
  assert -most * rate <= min(levels) and max(levels) <= 1 + most * rate


def test_the_bound_is_the_formula_of_the_card():
  assert adaptive.error_bound(0.2, 0.005, 100) == pytest.approx((0.8 + 0.005) / 0.5)


def test_late_answers_follow_a_drift_as_prompt_ones_do():
  # p-values of a drifted scanner: P(p <= a) = sqrt(a), so the right level is 0.01.
  rng = np.random.default_rng(2)
  p_values = (1 - rng.random(6000)) ** 2
  delays = rng.integers(0, 30, 6000).tolist()
  delays = [None if rng.random() < 0.3 else delay for delay in delays]
  state, flags, levels, _ = run(
    adaptive.start_level(0.1, 0.005), p_values, delays, [True] * 6000
  )
  assert np.mean(flags[2000:]) == pytest.approx(0.1, abs=0.02)
  assert np.mean(flags[:100]) > 0.15
  assert state.answers < 4500


def test_scans_with_lesions_close_their_decision_and_leave_the_level():
  state, flag = adaptive.decide(adaptive.start_level(0.1), 'a', 0.01)
  after = adaptive.feedback(state, 'a', healthy=False)
  assert flag and after == adaptive.start_level(0.1)


def test_a_p_value_at_the_level_is_flagged():
  # Conformal p-values are fractions k / (n + 1), which often equal the first level.
  assert adaptive.decide(adaptive.start_level(0.1), 'a', 0.1)[1]
  assert not adaptive.decide(adaptive.start_level(0.1), 'a', 0.1000001)[1]


def test_answers_in_any_order_close_their_decision():
  state = adaptive.start_level(0.1)
  for name, p in (('a', 0.5), ('b', 0.01), ('c', 0.5)):
    state, _ = adaptive.decide(state, name, p)
  state = adaptive.feedback(state, 'b', True)
  assert state.errors == 1 and tuple(state.pending) == ('a', 'c')
  state = adaptive.feedback(adaptive.feedback(state, 'c', True), 'a', True)
  assert (state.errors, state.answers, state.pending) == (1, 3, ())


def test_decisions_without_answer_are_dropped_beyond_the_capacity():
  state = adaptive.start_level(0.1, capacity=3)
  for name in 'abcde':
    state, _ = adaptive.decide(state, name, 0.5)
  assert tuple(state.pending) == ('c', 'd', 'e') and len(state.flagged) == 3
  with pytest.raises(ValueError, match="'a' has no open decision; there are 3"):
    adaptive.feedback(state, 'a', True)


def test_a_replay_through_json_gives_the_same_state():
  p_values = 1 - np.random.default_rng(3).random(60)
  delays = [3] * 60
  whole, *_ = run(adaptive.start_level(0.1, 0.02), p_values, delays, [True] * 60)
  again, *_ = run(adaptive.start_level(0.1, 0.02), p_values, delays, [True] * 60)
  assert whole == again
  stored = adaptive.AdaptiveLevel(**json.loads(json.dumps(whole._asdict())))
  (a, flag_a), (b, flag_b) = (adaptive.decide(s, 'next', 0.1) for s in (whole, stored))
  assert a == b and flag_a == flag_b
  assert adaptive.feedback(a, 'next', True) == adaptive.feedback(b, 'next', True)


def test_the_tracked_quantile_moves_by_the_sum_of_its_errors():
  # Identity: q_{T+1} - q_1 = eta sum (1{s > q} - alpha), so the rate is bounded.
  scores = np.concatenate([np.random.default_rng(4).exponential(size=800), [50] * 200])
  state, above = adaptive.start_quantile(1.0, 0.1, 0.2), []
  for score in scores:
    above.append(score > state.quantile)
    state = adaptive.track(state, score)
  moved = 0.2 * (np.sum(above) - 0.1 * 1000)
  assert state.quantile - 1.0 == pytest.approx(moved, abs=1e-9)
  assert state.count == 1000


def test_a_decaying_step_converges_to_the_quantile():
  # Oracle: quantile of the normal distribution.
  state = adaptive.start_quantile(0.0, 0.1, 2.0, decay=0.7)
  for score in np.random.default_rng(5).normal(size=20_000):
    state = adaptive.track(state, score)
  assert state.quantile == pytest.approx(stats.norm.isf(0.1), abs=0.05)


@pytest.mark.parametrize(
  'call, sentence',
  [
    (lambda: adaptive.start_level(0.0), 'target is 0.0'),
    (lambda: adaptive.start_level(0.1, -1.0), 'rate is -1.0'),
    (lambda: adaptive.start_level(0.1, level=1.0), 'level is 1.0'),
    (lambda: adaptive.start_level(0.1, capacity=0), 'capacity is 0'),
    (lambda: adaptive.decide(adaptive.start_level(0.1), 'a', math.nan), 'p_value is'),
    (
      lambda: adaptive.decide(
        adaptive.decide(adaptive.start_level(0.1), 'a', 0.5)[0], 'a', 0.5
      ),
      "'a' has an open decision",
    ),
    (lambda: adaptive.start_quantile(math.nan, 0.1, 1.0), 'quantile is nan'),
    (lambda: adaptive.start_quantile(0.0, 1.0, 1.0), 'share is 1.0'),
    (lambda: adaptive.start_quantile(0.0, 0.1, 0.0), 'rate is 0.0'),
    (lambda: adaptive.track(adaptive.start_quantile(0, 0.1, 1), math.nan), 'score is'),
    (lambda: adaptive.error_bound(0.1, 0.1, 0), 'answers is 0'),
  ],
)
def test_bad_input_is_refused_with_a_sentence(call, sentence):
  with pytest.raises(ValueError, match=sentence):
    call()
