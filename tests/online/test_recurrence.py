import numpy as np
import pytest

from uad_jax.online import (
  background_mixture,
  online_mixture,
  recurrence,
  residual_descriptors,
  residual_memory,
)
from uad_jax.online.guards import subject_code

SHAPE, CELL, THRESHOLD = (24, 20, 16), 4, 3.0
ARTEFACT, LESION = np.s_[4:8, 8:12, 4:8], np.s_[16:20, 4:8, 8:12]
MASK = np.ones(SHAPE)


def scan(seed, artefact=False, lesion=False):
  """Noise, with a planted artefact and a lesion of the same looks elsewhere."""
  rng = np.random.default_rng(seed)
  residual = rng.normal(size=SHAPE)
  residual[ARTEFACT] += 6 * artefact
  residual[LESION] += 6 * lesion
  return residual


def cells_of(residual):
  return residual_descriptors.cells_of(
    residual, np.abs(residual), MASK, THRESHOLD, CELL
  )


def false_positives(anomaly):
  return (anomaly[ARTEFACT] >= THRESHOLD).mean()


def test_mixtures_of_cells_suppress_a_recurring_artefact_and_no_lesion():
  healthy = [cells_of(scan(seed)).descriptors for seed in range(20)]
  scale = residual_descriptors.scale_of(
    np.concatenate([h.reshape(-1, 4) for h in healthy])
  )
  rule = background_mixture.Rule()
  state = background_mixture.empty(healthy[0].shape[:-1], 3, 4)
  brain = np.ones(healthy[0].shape[:-1], bool)
  for values in healthy:
    values = residual_descriptors.standard(values, scale)
    state = background_mixture.update(state, values, brain, rule)
  for seed in range(100, 160):
    residual = scan(seed, artefact=seed % 3 > 0, lesion=seed == 130)
    values = residual_descriptors.standard(cells_of(residual).descriptors, scale)
    state = background_mixture.update(state, values, brain, rule)
  residual = scan(999, artefact=True, lesion=True)
  values = residual_descriptors.standard(cells_of(residual).descriptors, scale)
  repeated = recurrence.cell_recurrence(state, values, rule, 3)
  factor = recurrence.cell_factor(repeated, SHAPE, CELL)
  anomaly = np.abs(residual)
  suppressed = recurrence.suppress(anomaly, factor)
  assert false_positives(suppressed) <= 0.2 * false_positives(anomaly)
  np.testing.assert_array_equal(suppressed[LESION], anomaly[LESION].astype(np.float32))


def test_a_memory_of_components_suppresses_a_recurring_artefact_and_no_lesion():
  def vectors_of(residual):
    smooth = residual.reshape(6, 4, 5, 4, 4, 4).mean((1, 3, 5))
    anomaly = np.kron(smooth, np.ones((4, 4, 4)))
    parts = residual_descriptors.components_of(residual, anomaly, MASK, 2.0)
    values = parts.descriptors.astype(np.float32)
    return parts, residual_descriptors.placed(parts.centres, values, 4.0), anomaly

  memory = residual_memory.begin(np.full((1, 7), 99.0), 50, 3)
  rule = residual_memory.Rule(1.5, 0.0)
  for seed in range(12):
    parts, vectors, _ = vectors_of(scan(seed, artefact=seed % 2, lesion=seed in (3, 4)))
    rng = np.random.default_rng(seed)
    code = subject_code(f'sub-{seed}')
    memory = residual_memory.learn(memory, vectors, 0.5, code, rule, rng)
  parts, vectors, anomaly = vectors_of(scan(99, True, True))
  repeated = recurrence.component_recurrence(memory, vectors, 1.5)
  factor = recurrence.component_factor(parts.labels, repeated)
  suppressed = recurrence.suppress(anomaly, factor)
  assert anomaly[ARTEFACT].min() > 4 and suppressed[ARTEFACT].max() < 1.5
  np.testing.assert_array_equal(suppressed[LESION], anomaly[LESION].astype(np.float32))


def test_the_recurrence_of_a_component_falls_with_the_distance_to_an_entry():
  memory = residual_memory.begin(np.zeros((1, 2)), 4, 1)
  vectors = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
  repeated = recurrence.component_recurrence(memory, vectors, 2.0)
  np.testing.assert_allclose(repeated, [1, 0.75, 0, 0])


def test_an_empty_memory_suppresses_nothing():
  memory = residual_memory.begin(np.zeros((0, 2)), 4, 3)
  assert (recurrence.component_recurrence(memory, np.zeros((5, 2)), 1.0) == 0).all()


def test_the_recurrence_by_density_is_a_ramp():
  values = np.array([-np.inf, -9, -5, -4, -3, 0.0])
  repeated = recurrence.density_recurrence(values, -5, -3)
  np.testing.assert_allclose(repeated, [0, 0, 0, 0.5, 1, 1])
  mixture = online_mixture.Mixture(np.ones(1), np.zeros((1, 2)), np.ones((1, 2)))
  density = online_mixture.log_density(mixture, np.array([[0.0, 0.0], [9.0, 0.0]]))
  assert recurrence.density_recurrence(density, -6, -3).tolist() == [1, 0]


def test_the_factor_of_a_cell_is_that_of_all_its_voxels():
  # Oracle: a loop over voxels.
  repeated = np.random.default_rng(0).random((3, 2))
  factor = recurrence.cell_factor(repeated, (11, 7), 4)
  for voxel in np.ndindex(11, 7):
    expected = 1 - repeated[voxel[0] // 4, voxel[1] // 4]
    assert factor[voxel] == pytest.approx(expected)


def test_suppression_never_raises_a_score():
  # A negative score, as of log odds, stays; above the base it is multiplied down.
  anomaly = np.array([-4.0, -1.0, 1.0, 5.0])
  suppressed = recurrence.suppress(anomaly, np.full(4, 0.25), base=-1.0)
  np.testing.assert_allclose(suppressed, [-4, -1, -0.5, 0.5])
  untouched = recurrence.suppress(anomaly, np.ones(4), base=-1.0)
  np.testing.assert_array_equal(untouched, anomaly)


def test_bad_shapes_and_values_are_refused():
  with pytest.raises(ValueError, match=r'recurrence has shape \(2, 2\)'):
    recurrence.cell_factor(np.zeros((2, 2)), (11, 7), 4)
  with pytest.raises(
    ValueError, match=r'recurrence has shape \(2,\); allowed is \(3,\)'
  ):
    recurrence.component_factor(np.array([0, 3]), np.zeros(2))
  with pytest.raises(ValueError, match='values from 2 to 2; allowed are 0 to 1'):
    recurrence.suppress(np.ones(3), np.full(3, 2.0))
  with pytest.raises(ValueError, match=r'factor has shape \(2,\)'):
    recurrence.suppress(np.ones(3), np.ones(2))
  with pytest.raises(ValueError, match='1 of 3 values are NaN'):
    recurrence.suppress(np.array([1, np.nan, 2]), np.ones(3))
  with pytest.raises(ValueError, match='log_density has NaN'):
    recurrence.density_recurrence(np.array([np.nan]), 0, 1)
  with pytest.raises(ValueError, match='high is 1'):
    recurrence.density_recurrence(np.zeros(1), 1, 1)
