"""The section on what the study of registration shows, from records."""

import pytest

from uad_jax.comparison import registration_claims


def estimate(value):
  return {'value': value, 'interval': [value - 0.125, value + 0.125]}


def record(**more):
  """A record in which the field beats no field, not the best uniform one."""
  rows = {
    'no field': {'auprc': estimate(0.25)},
    'uniform, 2': {'auprc': estimate(0.75), 'rkr': estimate(0.5)},
    'uniform, 4': {'auprc': estimate(0.5), 'rkr': estimate(0.25)},
    'gated, 4': {'auprc': estimate(0.5), 'rkr': estimate(0.75)},
  }
  differences = {
    'no field': estimate(0.25),
    'uniform, 2': estimate(-0.25),
    'uniform, 4': estimate(0.0),
    'switch': estimate(0.0625),
  }
  return {
    'target': 'there', 'sick': 12, 'stiffness': 4.0, 'rows': rows, 'known': [],
    'differences': differences,
  } | more  # fmt: skip


@pytest.fixture
def lines():
  return '\n'.join(registration_claims.section([record()])).splitlines()


def test_each_claim_has_its_difference_and_a_verdict(lines):
  assert '| (a) better than no field | +0.250 [+0.125, +0.375] holds |' in lines
  assert '| (c) better than the switch | +0.062 [-0.062, +0.188] open |' in lines
  assert '| (d) better than the gate of another subject | – |' in lines


def test_the_best_uniform_field_is_that_of_the_test_scans(lines):
  best = '| (b) better than the best uniform field | -0.250 [-0.375, -0.125] refuted |'
  assert best in lines
  assert 'Refuted by the records of this page: (b) on there.' in lines


def test_the_gated_field_stands_beside_the_uniform_one_of_its_stiffness(lines):
  assert '| RKR: gated, uniform | 0.750, 0.250 |' in lines
  assert '| HRR: gated, uniform | –, – |' in lines


def test_ventricles_are_those_that_grew_least():
  tests = [
    {'kind': 'inflated ventricles', 'size': size, 'row': row, 'growth': 2 * size}
    | {'endpoint': estimate(size / 8 + extra), 'gate': estimate(extra)}
    for size in (1.0, 2.0)
    for row, extra in (('uniform', 0.0), ('gated', 0.25))
  ]
  said = registration_claims.ventricles(record(known=tests))
  assert said == '0.375, 0.125; gate 0.250, 2.0 times the volume'
  assert registration_claims.ventricles(record()) == '–'


def test_nothing_is_claimed_without_records():
  assert registration_claims.section([]) == []
