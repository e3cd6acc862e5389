import json
import math

import numpy as np
import pytest
from scipy import integrate, stats

from uad_jax.online import false_discovery as fdr


def decisions(state, values, rule):
  flags = []
  for value in values:
    state, flag = rule(state, float(value))
    flags.append(flag)
  return state, np.array(flags)


@pytest.mark.parametrize('exponent', [1.2, 1.6, 2.0])
def test_the_shares_sum_to_one(exponent):
  # Oracle: partial sum and the integral of the rest, t^-s from N + 1/2 on.
  terms = 2000
  total = sum(fdr.share(t, exponent) for t in range(1, terms + 1))
  rest = (terms + 0.5) ** (1 - exponent) / (exponent - 1) * fdr.share(1, exponent)
  assert total + rest == pytest.approx(1, abs=1e-7)


def test_the_first_share_at_exponent_2_is_that_of_basel():
  assert fdr.share(3, 2.0) == pytest.approx(6 / math.pi**2 / 9)


def test_the_first_scan_gets_the_first_share():
  assert fdr.level(fdr.start(0.3, 2.0)) == pytest.approx(0.3 * 6 / math.pi**2)


def test_lond_equals_a_loop_over_its_levels():
  # Oracle: alpha_t = alpha gamma_t (D + 1) over the whole sequence with numpy.
  p_values = 1 - np.random.default_rng(0).random(200) ** 0.02
  p_values = np.maximum(p_values, 1e-12)
  gamma = np.arange(1, 201) ** -1.6
  gamma /= sum(t**-1.6 for t in range(1, 200_001)) + 200_000**-0.6 / 0.6
  expected, count = [], 0
  for p, share in zip(p_values, gamma, strict=True):
    expected.append(p <= 0.2 * share * (count + 1))
    count += expected[-1]
  state, flags = decisions(fdr.start(0.2), p_values, fdr.lond)
  assert flags.tolist() == expected and 3 < count < 190
  assert state == fdr.Discoveries(0.2, 1.6, 200, count)


def test_lond_holds_the_false_discovery_rate_with_signals():
  # Oracle: mean false discovery proportion over streams with 20 % lesions.
  rng = np.random.default_rng(1)
  proportions, power = [], []
  for _ in range(250):
    sick = rng.random(100) < 0.2
    p_values = stats.norm.sf(rng.normal(size=100) + 4 * sick)
    _, flags = decisions(fdr.start(0.2), p_values, fdr.lond)
    proportions.append((flags & ~sick).sum() / max(flags.sum(), 1))
    power.append((flags & sick).sum() / max(sick.sum(), 1))
  assert np.mean(proportions) <= 0.2 + 3 * np.std(proportions) / np.sqrt(250)
  assert np.mean(power) > 0.5


def test_e_lond_holds_the_false_discovery_rate_under_dependence():
  # All healthy scans share one noise, so their e-values rise and fall together.
  rng = np.random.default_rng(2)
  proportions, power = [], []
  for _ in range(250):
    sick = rng.random(100) < 0.2
    noise = 0.9**0.5 * rng.normal() + 0.1**0.5 * rng.normal(size=100)
    e_values = np.exp(3 * (noise + 5 * sick) - 4.5)
    _, flags = decisions(fdr.start(0.2), e_values, fdr.e_lond)
    proportion = (flags & ~sick).sum() / max(flags.sum(), 1)
    # The proof of Xu and Ramdas 2024: FDP <= alpha sum_healthy gamma_t e_t, pathwise.
    shares = np.array([fdr.share(t, 1.6) for t in range(1, 101)])
    assert proportion <= 0.2 * (shares * e_values)[~sick].sum() + 1e-12
    proportions.append(proportion)
    power.append((flags & sick).sum() / max(sick.sum(), 1))
  assert np.mean(proportions) <= 0.2 + 3 * np.std(proportions) / np.sqrt(250)
  assert np.mean(power) > 0.5


def test_e_lond_rejects_at_the_inverse_of_the_level_of_lond():
  state = fdr.start(0.1)
  for _ in range(5):
    limit = 1 / fdr.level(state)
    assert not fdr.e_lond(state, limit * (1 - 1e-9))[1]
    assert fdr.lond(state, fdr.level(state))[1]
    state, flag = fdr.e_lond(state, limit)
    assert flag
  assert state.discoveries == state.count == 5
  assert fdr.e_lond(state, math.inf)[1]


@pytest.mark.parametrize('kappa', [0.1, 0.5, 0.9, None])
def test_calibrated_p_values_have_mean_one_and_fall(kappa):
  # Oracle: quadrature over u = -ln p of e(p) p. The average over kappa keeps a mass of
  # (1 - p) / ln(1 / p) below p, which is added.
  end = 200.0
  area, _ = integrate.quad(
    lambda u: fdr.e_value(math.exp(-u), kappa) * math.exp(-u), 0, end, limit=200
  )
  rest = 1 / end if kappa is None else math.exp(-end * kappa)
  assert area + rest == pytest.approx(1, abs=1e-6)
  values = [fdr.e_value(p, kappa) for p in np.geomspace(1e-9, 1, 400)]
  assert (np.diff(values) <= 0).all()


def test_the_average_over_kappa_equals_quadrature_also_near_one():
  # Oracle: scipy.integrate.quad of kappa p^(kappa - 1) over kappa.
  for p in (1e-6, 0.01, 0.5, 0.9985, 0.9995, 1.0):
    average, _ = integrate.quad(lambda kappa, p=p: kappa * p ** (kappa - 1), 0, 1)
    assert fdr.e_value(p) == pytest.approx(average, rel=1e-9)


def test_a_replay_through_json_gives_the_same_state():
  p_values = (1 - np.random.default_rng(3).random(50)) ** 4
  half, _ = decisions(fdr.start(0.2), p_values[:25], fdr.lond)
  stored = fdr.Discoveries(**json.loads(json.dumps(half._asdict())))
  whole, _ = decisions(fdr.start(0.2), p_values, fdr.lond)
  assert decisions(stored, p_values[25:], fdr.lond)[0] == whole


@pytest.mark.parametrize(
  'call, sentence',
  [
    (lambda: fdr.start(1.0), 'alpha is 1.0'),
    (lambda: fdr.start(0.1, 1.0), 'exponent is 1.0'),
    (lambda: fdr.lond(fdr.start(0.1), 0.0), 'p_value is 0.0'),
    (lambda: fdr.lond(fdr.start(0.1), math.nan), 'p_value is nan'),
    (lambda: fdr.e_lond(fdr.start(0.1), -1.0), 'e_value is -1.0'),
    (lambda: fdr.e_lond(fdr.start(0.1), math.nan), 'e_value is nan'),
    (lambda: fdr.e_value(0.0), 'p_value is 0.0'),
    (lambda: fdr.e_value(0.1, 1.0), 'kappa is 1.0'),
  ],
)
def test_bad_input_is_refused_with_a_sentence(call, sentence):
  with pytest.raises(ValueError, match=sentence):
    call()
