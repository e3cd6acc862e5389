"""Oracles: uniformity of p-values by simulation, and the definition by loops."""

import functools
import json

import numpy as np
import pytest

from tests.domain_shift.phantom import brain, with_lesion
from uad_jax.domain_shift import gate as gates
from uad_jax.domain_shift import statistics
from uad_jax.domain_shift.shifts import SHIFTS

NAMES = statistics.DIFFUSE[:6]
SOURCE = range(40)
NEW = range(100, 112)


@functools.cache
def healthy(seed):
  arrays = brain(seed)
  return statistics.of_scan(arrays['image'], arrays['mask'])


@pytest.fixture(scope='module')
def gate():
  return gates.fit([healthy(seed) for seed in SOURCE])


def asked(gate, arrays):
  return gates.ask(gate, statistics.of_scan(arrays['image'], arrays['mask']))


def rows(table):
  return [dict(zip(NAMES, row, strict=True)) for row in table]


@pytest.mark.parametrize('count', [8, 15, 60])
def test_p_values_of_exchangeable_scans_are_super_uniform(count):
  # Heavy tails, dependent statistics and few scans: P(p <= a) <= a for every a.
  rng = np.random.default_rng(count)
  repeats = 600 if count < 60 else 150
  p = []
  for _ in range(repeats):
    table = rng.standard_t(2, size=(count + 1, 6)) + rng.normal(size=(count + 1, 1))
    p.append(gates.ask(gates.fit(rows(table[:-1]), NAMES), rows(table[-1:])[0]).p)
  p = np.array(p)
  for level in (1 / (count + 1), 2 / (count + 1), 0.25, 0.5, 0.75):
    error = np.sqrt(level * (1 - level) / repeats)
    assert np.mean(p <= level + 1e-9) <= level + 3 * error
  # Nor are they needlessly large: without ties p is uniform on 1/(n+1), ..., 1.
  assert np.mean(p) == pytest.approx((count + 2) / (count + 1) / 2, abs=0.08)


def test_the_p_value_is_the_share_of_scores_each_from_all_other_scans():
  rng = np.random.default_rng(0)
  table = rng.normal(size=(12, 6))
  scores = []
  for i, row in enumerate(table):
    others = np.array([table[j] for j in range(12) if j != i])
    centre = np.median(others, 0)
    mad = 1.4826 * np.median(np.abs(others - centre), 0)
    variance = (11 * mad**2 + 10 * others.std(0, ddof=1) ** 2) / 21
    z = (row - centre) / np.sqrt(variance)
    correlation = 0.5 * np.corrcoef(others.T) + 0.5 * np.eye(6)
    scores.append(np.sqrt(z @ np.linalg.inv(correlation) @ z / 6))
  answer = gates.ask(gates.fit(rows(table[:-1]), NAMES), rows(table[-1:])[0])
  assert answer.score == pytest.approx(scores[-1])
  assert answer.p == pytest.approx(np.mean(np.array(scores) >= scores[-1]))
  assert answer.smallest == pytest.approx(1 / 12)


def test_a_statistic_that_leaves_its_companions_is_unusual():
  rng = np.random.default_rng(1)
  common = rng.normal(size=(40, 1))
  source = gates.fit(rows(common + 0.2 * rng.normal(size=(40, 6))), NAMES)
  together, alone = np.full((1, 6), 1.5), np.array([[1.5, 1.5, 1.5, 1.5, 1.5, -1.5]])
  moved = [gates.ask(source, rows(table)[0]) for table in (together, alone)]
  assert moved[1].score > 2 * moved[0].score and moved[1].p < 0.05 < moved[0].p
  many = gates.scores(np.concatenate([together, alone]), source.values, np.zeros(6))
  np.testing.assert_allclose(many, [answer.score for answer in moved])
  # A statistic that is the same in all healthy scans has no correlation.
  still = source.values.copy()
  still[:, 0] = 2
  assert np.isfinite(gates.scores(np.full((1, 6), 2.0), still, np.zeros(6))).all()


def test_a_statistic_counts_on_its_unusual_side_only():
  names = ('residual_entropy',)  # unusual if high
  source = [{'residual_entropy': 0.9 + 0.001 * i} for i in range(20)]
  gate = gates.fit(source, names)
  low = gates.ask(gate, {'residual_entropy': 0.2})
  high = gates.ask(gate, {'residual_entropy': 0.99})
  assert low.p == 1 and low.score == 0
  assert high.p == pytest.approx(1 / 21)


def test_healthy_scans_of_the_domain_pass(gate):
  p = [gates.ask(gate, healthy(seed)).p for seed in NEW]
  assert np.mean(np.array(p) <= 0.1) <= 0.25
  assert np.mean(p) > 0.3


def test_a_focal_lesion_does_not_move_the_p_value(gate):
  # The lesion's contrast is three times that of the tissues, over 2 % of the brain.
  moves = []
  for seed in NEW:
    before = gates.ask(gate, healthy(seed))
    after = asked(gate, with_lesion(brain(seed), share=0.02))
    moves.append(after.score - before.score)
    assert not gates.outside(after, 0.03)
  assert abs(np.mean(moves)) < 0.15
  assert np.abs(moves).max() < 0.4  # scores of healthy scans are from 0.6 to 1.7


@pytest.mark.parametrize(
  'shift, words',
  [
    ('other_contrast', 'overall brightness'),
    ('noise', 'noise or fine detail'),
    ('low_resolution', 'resolution'),
    ('thick_slices', 'sharpness across the slices'),
    ('texture', 'complexity of the image'),
    ('digits', 'complexity of the image'),
  ],
)
def test_a_shifted_scan_is_outside_and_the_sentence_says_why(gate, shift, words):
  rng = np.random.default_rng(0)
  for seed in NEW[:4]:
    answer = asked(gate, SHIFTS[shift]()(brain(seed), rng))
    assert answer.p == pytest.approx(1 / 41)
    assert gates.outside(answer)
    assert words in gates.unusual(answer, 5)
  sentence = gates.sentence(answer)
  assert sentence.startswith('this scan lies outside of the training domain (p = 0.024')
  assert 'the smallest that 40 healthy scans allow' in sentence


def test_a_shift_with_a_lesion_is_still_outside(gate):
  arrays = SHIFTS['low_resolution']()(with_lesion(brain(100)), np.random.default_rng(0))
  assert gates.outside(asked(gate, arrays))


def test_few_scans_raise_the_level_to_the_smallest_p_value():
  few = gates.fit([healthy(seed) for seed in range(8)])
  rng = np.random.default_rng(0)
  answer = asked(few, SHIFTS['noise']()(brain(100), rng))
  assert answer.p == answer.smallest == pytest.approx(1 / 9)
  assert gates.outside(answer, 0.05)
  assert 'the smallest that 8 healthy scans allow' in gates.sentence(answer)
  inside = answer._replace(p=0.3)
  assert gates.sentence(inside) == 'this scan lies within the training domain (p = 0.3)'


def test_equal_healthy_scans_have_no_division_by_zero():
  gate = gates.fit([{'brightness': 0.5}] * 10)
  assert gates.ask(gate, {'brightness': 0.5}).p == 1
  assert gates.ask(gate, {'brightness': 0.6}).p == pytest.approx(1 / 11)


def test_the_state_goes_through_json(gate):
  again = gates.restored(json.loads(json.dumps(gates.state(gate))))
  assert again.names == gate.names
  np.testing.assert_array_equal(again.values, gate.values)
  for damaged in ({}, {'names': ['detail'], 'values': [[1, 2]] * 8}, {'names': 3}):
    with pytest.raises(ValueError, match='the state of the gate is damaged'):
      gates.restored(damaged)


def test_statistics_that_not_all_healthy_scans_have_are_not_used():
  source = [healthy(seed) for seed in range(8)]
  source[3] = {**source[3], 'detail': np.nan}
  assert 'detail' not in gates.fit(source).names
  assert 'residual_50' not in gates.fit(source).names


def test_a_gate_without_data_is_refused(gate):
  with pytest.raises(ValueError, match='given 7 healthy scans; allowed are 8 or more'):
    gates.fit([healthy(seed) for seed in range(7)])
  with pytest.raises(ValueError, match="gate: unknown statistic 'size'"):
    gates.fit([healthy(seed) for seed in range(8)], ['size'])
  with pytest.raises(ValueError, match='statistics residual_50 in common'):
    gates.fit([healthy(seed) for seed in range(8)], ['residual_50'])
  with pytest.raises(ValueError, match='missing or not finite are contrast'):
    gates.ask(gate, {**healthy(0), 'contrast': np.nan})
