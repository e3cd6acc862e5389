import math

import numpy as np
import pytest

from uad_jax.online import background_mixture as background

RULE = background.Rule(rate=0.1, first_variance=0.5, first_weight=0.08)


def slow_update(components, x, rule):
  """Stauffer and Grimson for one cell, as a list of [weight, mean, variance, votes]."""
  values = len(x)
  chosen = None
  for k, (weight, mean, variance, _) in enumerate(components):
    square = sum((x[d] - mean[d]) ** 2 for d in range(values)) / values
    if weight > 0 and square < rule.match**2 * variance:
      chosen = k
      break
  for k, component in enumerate(components):
    component[0] = (1 - rule.rate) * component[0] + rule.rate * (k == chosen)
  if chosen is None:
    components[-1] = [rule.first_weight, list(x), rule.first_variance, 1]
  else:
    weight, mean, variance, votes = components[chosen]
    rho = rule.rate / weight
    mean = [(1 - rho) * m + rho * v for m, v in zip(mean, x, strict=True)]
    square = sum((v - m) ** 2 for m, v in zip(mean, x, strict=True)) / values
    variance = max((1 - rho) * variance + rho * square, rule.least_variance)
    components[chosen] = [weight, mean, variance, votes + 1]
  total = sum(component[0] for component in components)
  for component in components:
    component[0] /= total
  components.sort(key=lambda c: -c[0] / math.sqrt(c[2]))


def slow_usual(components, x, rule, subjects):
  before = 0.0
  for weight, mean, variance, votes in components:
    square = sum((v - m) ** 2 for m, v in zip(mean, x, strict=True)) / len(x)
    if weight > 0 and square < rule.match**2 * variance:
      return before <= rule.usual and votes >= subjects
    before += weight
  return False


@pytest.mark.parametrize('values', [1, 3])
def test_the_mixtures_are_those_of_a_slow_loop_over_cells(values):
  # Oracle: the loop above in Python floats, cell by cell.
  rng = np.random.default_rng(values)
  grid, scans = (3, 2), 60
  modes = rng.normal(scale=4, size=(4, *grid, values))
  state = background.empty(grid, 3, values)
  slow = {cell: [[0.0, [0.0] * values, 1.0, 0]] * 3 for cell in np.ndindex(grid)}
  slow = {cell: [list(c) for c in components] for cell, components in slow.items()}
  for _ in range(scans):
    mode = rng.choice(4, p=[0.6, 0.25, 0.1, 0.05])
    x = (modes[mode] + 0.3 * rng.normal(size=(*grid, values))).astype(np.float32)
    observed = rng.random(grid) < 0.8
    usual = background.usual(state, x, RULE, 2)
    for cell, components in slow.items():
      sample = x[cell].tolist()
      assert usual[cell] == slow_usual(components, sample, RULE, 2)
      if observed[cell]:
        slow_update(components, sample, RULE)
    state = background.update(state, x, observed, RULE)
  for cell, components in slow.items():
    weight, mean, variance, votes = zip(*components, strict=True)
    np.testing.assert_allclose(state.weight[cell], weight, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(state.mean[cell], mean, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(state.variance[cell], variance, rtol=1e-3)
    assert tuple(state.votes[cell]) == votes


def test_a_recurring_artefact_becomes_usual_and_a_lesion_seen_once_does_not():
  rng = np.random.default_rng(0)
  grid = (6, 5, 4)
  artefact, lesion = (1, 2, 3), (4, 1, 2)
  rule = background.Rule(rate=0.05)
  state = background.empty(grid, 3, 2)
  brain = np.ones(grid, bool)

  def scan(is_artefact, is_lesion):
    x = rng.normal(size=(*grid, 2))
    x[artefact] += 12 * is_artefact
    x[lesion] += 12 * is_lesion
    return x

  for _ in range(30):  # healthy validation scans
    state = background.update(state, scan(False, False), brain, rule)
  assert not background.usual(state, scan(True, True), rule)[artefact]
  for number in range(60):
    x = scan(number % 2 == 0, number == 20)
    state = background.update(state, x, brain, rule)
  usual = background.usual(state, scan(True, True), rule, subjects=3)
  assert usual[artefact] and not usual[lesion]
  assert usual.mean() > 0.8


def test_a_usual_component_needs_the_votes_of_enough_subjects():
  state = background.empty((1,), 2, 1)
  x, brain = np.array([[3.0]]), np.ones(1, bool)
  for votes in range(1, 5):
    state = background.update(state, x, brain, RULE)
    assert background.usual(state, x, RULE, 3)[0] == (votes >= 3)


def test_cells_outside_of_the_brain_keep_their_mixture():
  rng = np.random.default_rng(1)
  state = background.empty((2, 2), 2, 1)
  state = background.update(state, rng.normal(size=(2, 2, 1)), np.ones((2, 2)), RULE)
  brain = np.array([[True, False], [True, True]])
  after = background.update(state, rng.normal(size=(2, 2, 1)) + 50, brain, RULE)
  for old, new in zip(state, after, strict=True):
    assert (old[0, 1] == new[0, 1]).all()
  assert (after.mean[brain, 1] != state.mean[brain, 1]).all()


def test_a_replay_from_a_file_is_bitwise_equal(tmp_path):
  rng = np.random.default_rng(2)
  scans, brain = rng.normal(size=(12, 4, 3, 2)) * 3, np.ones((4, 3), bool)

  def replay(state, scans):
    for x in scans:
      state = background.update(state, x, brain, RULE)
    return state

  empty = background.empty((4, 3), 3, 2)
  np.savez(tmp_path / 'state.npz', **replay(empty, scans[:6])._asdict())
  with np.load(tmp_path / 'state.npz') as arrays:
    again = replay(background.Background(**arrays), scans[6:])
  for a, b in zip(again, replay(empty, scans), strict=True):
    assert a.dtype == b.dtype and (a == b).all()


def test_descriptors_of_another_grid_or_with_nan_are_refused():
  state, brain = background.empty((2, 2), 2, 3), np.ones((2, 2), bool)
  for x, message in (
    (np.zeros((2, 3, 3)), r'shape \(2, 3, 3\); allowed is \(2, 2, 3\)'),
    (np.full((2, 2, 3), np.nan), '12 of 12 values are NaN'),
  ):
    with pytest.raises(ValueError, match=message):
      background.update(state, x, brain, RULE)
    with pytest.raises(ValueError, match=message):
      background.usual(state, x, RULE)
  with pytest.raises(ValueError, match='observed has shape'):
    background.update(state, np.zeros((2, 2, 3)), np.ones(2), RULE)
  with pytest.raises(ValueError, match='rate is 0'):
    background.update(state, np.zeros((2, 2, 3)), brain, RULE._replace(rate=0))
