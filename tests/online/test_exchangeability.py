import math

import numpy as np
import pytest
from scipy import integrate

from uad_jax.online import conformal
from uad_jax.online import exchangeability as drift


def run(state, p_values):
  """State after all p-values, and the number of bets at the first alarm."""
  first = None
  for p in p_values:
    state = drift.bet(state, float(p))
    if first is None and drift.is_alarm(state):
      first = state.count
  return state, first


def uniform(rng, *shape):
  return 1 - rng.random(shape)


def online_p_values(scores, rng):
  """Smoothed p-value of each score among all earlier ones, from the second on."""
  return [
    conformal.smoothed_p_values(scores[:t], scores[t : t + 1], rng)[0]
    for t in range(1, len(scores))
  ]


def same(a, b):
  return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_one_exponent_gives_the_product_of_vovk():
  # Oracle: product of epsilon p^(epsilon - 1) in numpy.
  p = uniform(np.random.default_rng(0), 50)
  state, _ = run(drift.start_martingale(0.01, (0.3,)), p)
  assert drift.log_value(state) == pytest.approx(np.log(0.3 * p**-0.7).sum())


def test_the_mixture_equals_the_integral_over_the_exponent():
  # Oracle: scipy.integrate.quad over epsilon; the grid is a midpoint rule.
  for power in (1, 1.5):
    p = uniform(np.random.default_rng(1), 30) ** power
    logs = np.log(p).sum()
    exact, _ = integrate.quad(lambda e, s=logs: e**30 * math.exp((e - 1) * s), 0, 1)
    grid = (np.arange(200) + 0.5) / 200
    fine, _ = run(drift.start_martingale(0.01, grid), p)
    coarse, _ = run(drift.start_martingale(0.01), p)
    assert drift.log_value(fine) == pytest.approx(math.log(exact), abs=1e-3)
    assert drift.log_value(coarse) == pytest.approx(math.log(exact), abs=0.05)


def test_shiryaev_roberts_equals_the_sum_over_starting_times():
  # Oracle: R_T = sum over k of the product of the bets from k to T, mean over epsilon.
  p = uniform(np.random.default_rng(2), 40)
  state, _ = run(drift.start_shiryaev_roberts(1e3), p)
  total = 0.0
  for epsilon in drift.EPSILONS:
    bets = epsilon * p ** (epsilon - 1)
    total += sum(np.prod(bets[k:]) for k in range(40)) / len(drift.EPSILONS)
  assert drift.log_value(state) == pytest.approx(math.log(total))


def test_a_bet_has_mean_one_on_uniform_p_values():
  # Oracle: quadrature over u = -ln p of each factor of the mixture and of the mixture.
  def gain(u):
    state = drift.bet(drift.start_martingale(0.1), math.exp(-u))
    return math.exp(drift.log_value(state) - u)

  area, _ = integrate.quad(gain, 0, 600, limit=400)
  assert area == pytest.approx(1, abs=1e-6)


def test_streams_without_drift_rarely_reach_the_limit():
  # Oracle: Ville's inequality, P(any alarm) <= delta.
  rng, delta = np.random.default_rng(3), 0.2
  alarms = [
    run(drift.start_martingale(delta), uniform(rng, 60))[1] is not None
    for _ in range(300)
  ]
  assert np.mean(alarms) <= delta + 3 * math.sqrt(delta * (1 - delta) / 300)
  assert np.mean(alarms) > 0.005


def test_exchangeable_scores_rarely_reach_the_limit_and_shifted_ones_do():
  # The scores are not independent: each stream has a mean of its own.
  rng, delta = np.random.default_rng(4), 0.2
  alarms, delays = [], []
  for shift, firsts in ((0, alarms), (2, delays)):
    for _ in range(40):
      scores = rng.normal(size=120) + rng.normal() + shift * (np.arange(120) >= 80)
      firsts.append(run(drift.start_martingale(delta), online_p_values(scores, rng))[1])
  false = np.mean([first is not None for first in alarms])
  assert false <= delta + 3 * math.sqrt(delta * (1 - delta) / 40)
  assert np.mean([first is not None for first in delays]) > 0.9


def test_shiryaev_roberts_keeps_its_mean_time_to_a_false_alarm():
  # Oracle: E[time of the first alarm] >= run_length; streams are cut, which lowers it.
  rng, firsts = np.random.default_rng(5), []
  for _ in range(80):
    state = drift.start_shiryaev_roberts(30)
    while state.count < 400 and not drift.is_alarm(state):
      state = drift.bet(state, float(uniform(rng)))
    firsts.append(state.count)
  assert np.mean(firsts) >= 30 - 3 * np.std(firsts) / math.sqrt(80)


def test_shiryaev_roberts_notices_a_late_drift_sooner():
  # Before the drift the p-values are large and the martingale loses its capital.
  rng = np.random.default_rng(6)
  p = np.concatenate([uniform(rng, 300) ** 0.8, uniform(rng, 60) ** 4])
  _, late = run(drift.start_martingale(1e-3), p)
  _, prompt = run(drift.start_shiryaev_roberts(1e3), p)
  assert 300 < prompt < 330 and (late is None or late > prompt)


def test_a_reset_starts_the_bets_anew():
  p = uniform(np.random.default_rng(7), 30) ** 4
  for start in (drift.start_martingale(0.01), drift.start_shiryaev_roberts(100)):
    state, first = run(start, p)
    assert first is not None and same(drift.reset(state), start)
    assert not drift.is_alarm(drift.reset(state))


def test_long_streams_neither_overflow_nor_lose_the_logarithm():
  for power in (0.01, 30):
    p = uniform(np.random.default_rng(8), 3000) ** power
    for start in (drift.start_martingale(0.01), drift.start_shiryaev_roberts(100)):
      assert math.isfinite(drift.log_value(run(start, p)[0]))


def test_a_replay_through_npz_gives_the_same_state_bitwise(tmp_path):
  p = uniform(np.random.default_rng(9), 80)
  for start in (drift.start_martingale(0.01), drift.start_shiryaev_roberts(100)):
    kept = [np.copy(value) for value in start]
    half, _ = run(start, p[:40])
    whole, _ = run(start, p)
    assert same(start, kept)
    np.savez(tmp_path / 'state.npz', **half._asdict())
    with np.load(tmp_path / 'state.npz') as stored:
      again = drift.Drift(**{n: v if v.ndim else v.item() for n, v in stored.items()})
    assert same(run(again, p[40:])[0], whole)


@pytest.mark.parametrize(
  'call, sentence',
  [
    (lambda: drift.start_martingale(0.0), 'delta is 0.0'),
    (lambda: drift.start_martingale(0.1, ()), 'epsilons ho|epsilons has'),
    (lambda: drift.start_martingale(0.1, (0.0, 0.5)), 'outside of'),
    (lambda: drift.start_martingale(0.1, (math.nan,)), 'epsilons holds 1 nan'),
    (lambda: drift.start_shiryaev_roberts(1.0), 'run_length is 1.0'),
    (lambda: drift.bet(drift.start_martingale(0.1), 0.0), 'p_value is 0.0'),
    (lambda: drift.bet(drift.start_martingale(0.1), math.nan), 'p_value is nan'),
  ],
)
def test_bad_input_is_refused_with_a_sentence(call, sentence):
  with pytest.raises(ValueError, match=sentence):
    call()
