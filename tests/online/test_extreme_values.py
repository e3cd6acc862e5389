import math

import numpy as np
import pytest

from uad_jax.online import extreme_values as spot
from uad_jax.online.generalised_pareto import fit_pareto, tail_excess


def same(a, b):
  return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def run(state, scores):
  alarms = []
  for score in scores:
    state, alarm = spot.update(state, score)
    alarms.append(alarm)
  return state, np.array(alarms)


@pytest.mark.parametrize('risk', [1e-2, 1e-3, 1e-4])
def test_on_quantiles_of_the_exponential_the_threshold_is_minus_log_risk(risk):
  # Closed form: P(X > z) = exp(-z). The scores are its quantiles, without noise.
  scores = -np.log1p(-(np.arange(50_000) + 0.5) / 50_000)
  state = spot.start(scores, risk)
  assert state.alarm == pytest.approx(-math.log(risk), abs=0.03)
  assert state.threshold == pytest.approx(-math.log(0.02), abs=1e-3)
  assert abs(state.shape) < 0.01 and state.scale == pytest.approx(1, abs=0.01)


def test_the_threshold_is_the_formula_of_the_paper():
  # Oracle: z_q = t + scale / shape ((q n / N_t)^-shape - 1), written out.
  state = spot.start(np.random.default_rng(0).standard_t(3, 2000), 1e-3)
  power = (1e-3 * 2000 / 40) ** -state.shape
  expected = state.threshold + state.scale / state.shape * (power - 1)
  assert state.excesses.size == 40 and abs(state.shape) > 0.01
  assert state.alarm == pytest.approx(expected, rel=1e-12)


def test_a_stream_leaves_the_fit_of_all_its_normal_scores():
  # Oracle: the batch form, from all scores that were no alarm; -ln q is near.
  rng = np.random.default_rng(1)
  first, scores = rng.exponential(size=2000), rng.exponential(size=8000)
  start = spot.start(first, 2e-3)
  state, alarms = run(start, scores)
  normal = np.concatenate([first, scores[~alarms]])
  beyond = np.flatnonzero(normal > start.threshold)
  assert state.count == normal.size and state.threshold == start.threshold
  np.testing.assert_array_equal(state.excesses, normal[beyond] - start.threshold)
  tail = fit_pareto(state.excesses)
  chance = 2e-3 * (beyond[-1] + 1) / beyond.size  # z_q is of the last excess
  assert state.alarm == start.threshold + tail_excess(tail, chance)
  assert 1e-3 < alarms.mean() < 4e-3
  assert state.alarm == pytest.approx(-math.log(2e-3), abs=0.8)


@pytest.mark.parametrize('depth', [0, 10])
def test_alarms_do_not_move_the_state_and_others_do(depth):
  state = spot.start(np.random.default_rng(2).normal(size=500), 1e-3, depth=depth)
  after, alarm = spot.update(state, 100.0)
  assert alarm and same(after, state)
  centre = spot.alarm_threshold(state) - state.alarm
  excess = centre + (state.threshold + state.alarm) / 2
  after, alarm = spot.update(state, excess)
  assert not alarm and after.count == state.count + 1
  assert after.excesses.size == state.excesses.size + 1
  assert after.excesses[-1] == pytest.approx((state.alarm - state.threshold) / 2)
  assert after.alarm != state.alarm
  after, alarm = spot.update(state, centre - 1)
  assert not alarm and after.count == state.count + 1
  assert after.alarm == state.alarm and same(after.excesses, state.excesses)


def test_an_alarm_begins_above_the_alarm_threshold():
  state = spot.start(np.random.default_rng(3).normal(size=500), 1e-3, depth=5)
  limit = spot.alarm_threshold(state)
  assert spot.update(state, limit + 1e-9)[1] and not spot.update(state, limit - 1e-9)[1]


def test_dspot_is_spot_on_scores_minus_their_moving_average():
  # Oracle: numpy differences to the mean of the last 8 scores, where none is an alarm.
  scores = np.random.default_rng(4).normal(size=700) + np.linspace(0, 20, 700)
  moving = np.array([scores[i] - scores[i - 8 : i].mean() for i in range(8, 700)])
  with_drift, alarms = run(spot.start(scores[:408], 1e-6, depth=8), scores[408:])
  plain, _ = run(spot.start(moving[:400], 1e-6), moving[400:])
  assert not alarms.any()
  assert with_drift.count == plain.count
  for name in ('threshold', 'alarm', 'shape', 'scale', 'excesses'):
    a, b = getattr(with_drift, name), getattr(plain, name)
    np.testing.assert_allclose(a, b, rtol=1e-6, err_msg=name)
  np.testing.assert_array_equal(with_drift.window, scores[-8:])


def test_dspot_stands_a_drift_that_alarms_spot():
  scores = np.random.default_rng(5).normal(size=1200) + np.linspace(0, 15, 1200)
  _, plain = run(spot.start(scores[:500], 1e-3), scores[500:])
  state, moving = run(spot.start(scores[:500], 1e-3, depth=10), scores[500:])
  assert plain.mean() > 0.3 and moving.mean() < 0.01
  assert spot.update(state, 30.0)[1]


def test_the_alarm_threshold_never_falls_below_the_quantile():
  # A stream that has become quiet: one excess in 3000 scores, asked for 1 in 100.
  state = spot.start(np.random.default_rng(6).normal(size=100), 0.01, level=0.98)
  state = state._replace(count=3000)
  after, _ = spot.update(state, (state.threshold + state.alarm) / 2)
  assert after.alarm == after.threshold


def test_a_replay_through_npz_gives_the_same_state_bitwise(tmp_path):
  scores = np.random.default_rng(7).gumbel(size=900)
  start = spot.start(scores[:300], 1e-2, depth=4)
  kept = [np.copy(value) for value in start]
  half, _ = run(start, scores[300:600])
  whole, _ = run(half, scores[600:])
  assert same(start, kept) and same(run(start, scores[300:])[0], whole)
  np.savez(tmp_path / 'state.npz', **half._asdict())
  with np.load(tmp_path / 'state.npz') as stored:
    again = spot.Spot(**{n: v if v.ndim else v.item() for n, v in stored.items()})
  assert same(run(again, scores[600:])[0], whole)


@pytest.mark.parametrize(
  'call, sentence',
  [
    (lambda: spot.start([], 1e-3), 'scores has shape'),
    (lambda: spot.start([1.0, np.nan], 1e-3), 'scores holds 1 nan'),
    (lambda: spot.start([1.0, np.inf], 1e-3), 'infinite'),
    (lambda: spot.start(np.arange(9.0), 0.0), 'risk is 0.0'),
    (lambda: spot.start(np.arange(9.0), 0.05), 'risk is 0.05; .* below 1 - level'),
    (lambda: spot.start(np.arange(9.0), 1e-3, 1.0), 'level is 1.0'),
    (lambda: spot.start(np.arange(9.0), 1e-3, depth=-1), 'depth is -1'),
    (lambda: spot.start(np.arange(9.0), 1e-3, depth=9), 'there are 9 scores; depth 9'),
    (lambda: spot.start(np.ones(9), 1e-3), 'no score exceeds'),
    (lambda: spot.update(spot.start(np.arange(9.0), 1e-3), np.nan), 'score is nan'),
    (lambda: spot.update(spot.start(np.arange(9.0), 1e-3), np.inf), 'score is inf'),
  ],
)
def test_bad_input_is_refused_with_a_sentence(call, sentence):
  with pytest.raises(ValueError, match=sentence):
    call()
