import numpy as np
import pytest

from uad_jax.online import residual_descriptors as descriptors


def scan(shape, seed=0):
  rng = np.random.default_rng(seed)
  residual = rng.normal(size=shape)
  return residual, np.abs(residual), (rng.random(shape) < 0.7).astype(float)


@pytest.mark.parametrize('shape', [(9, 8, 7), (10, 7)])
def test_the_cells_are_those_of_a_slow_loop(shape):
  # Oracle: numpy over the brain voxels of each cell, in a loop.
  residual, anomaly, mask = scan(shape)
  mask[:4, :4] = 0
  cells = descriptors.cells_of(residual, anomaly, mask, 1.0, 4)
  assert cells.brain.shape == tuple(-(-size // 4) for size in shape)
  for cell in np.ndindex(cells.brain.shape):
    block = tuple(slice(4 * i, 4 * i + 4) for i in cell)
    inside = mask[block] > 0
    assert cells.brain[cell] == pytest.approx(inside.mean())
    r = residual[block][inside] if inside.any() else np.zeros(1)
    expected = [r.mean(), np.sign(r).mean(), r.std(), (np.abs(r) >= 1).mean()]
    np.testing.assert_allclose(cells.descriptors[cell], expected, rtol=1e-4, atol=1e-6)


def test_the_centres_of_cells_are_the_means_of_their_voxels():
  centres = descriptors.cell_centres((2, 3), 4)
  voxels = np.moveaxis(np.indices((8, 12)), 0, -1)
  for cell in np.ndindex(2, 3):
    block = tuple(slice(4 * i, 4 * i + 4) for i in cell)
    np.testing.assert_allclose(centres[cell], voxels[block].mean((0, 1)))


def test_components_are_described_by_their_voxels():
  # Oracle: numpy over the voxels of each of two boxes.
  residual, _, _ = scan((12, 10, 8))
  anomaly, mask = np.zeros(residual.shape), np.ones(residual.shape)
  boxes = [np.s_[1:4, 2:5, 1:3], np.s_[7:11, 6:9, 4:7]]
  for box in boxes:
    anomaly[box] = 3
  mask[10] = 0
  parts = descriptors.components_of(residual, anomaly, mask, 2.0)
  voxels = np.moveaxis(np.indices(residual.shape), 0, -1)
  assert parts.labels.max() == len(parts.centres) == 2
  for number, box in enumerate([boxes[0], np.s_[7:10, 6:9, 4:7]]):
    r = residual[box]
    assert (parts.labels[box] == number + 1).all()
    np.testing.assert_allclose(parts.centres[number], voxels[box].mean((0, 1, 2)))
    expected = [r.mean(), np.sign(r).mean(), r.std(), np.log(r.size)]
    np.testing.assert_allclose(parts.descriptors[number], expected, rtol=1e-5)


def test_a_scan_without_components_has_empty_descriptors():
  residual, anomaly, mask = scan((6, 5, 4))
  parts = descriptors.components_of(residual, anomaly, mask, 99.0)
  assert parts.centres.shape == (0, 3) and parts.descriptors.shape == (0, 4)
  assert not parts.labels.any()


def test_standard_descriptors_have_mean_0_and_deviation_1():
  values = np.random.default_rng(1).normal(3, 2, (500, 4))
  values[:, 1] = 1  # a constant sign
  standard = descriptors.standard(values, descriptors.scale_of(values))
  np.testing.assert_allclose(standard.mean(0), 0, atol=1e-5)
  np.testing.assert_allclose(standard.std(0), [1, 0, 1, 1], atol=1e-5)
  placed = descriptors.placed(np.array([[4.0, 8.0]] * 500), standard, 4)
  assert placed.shape == (500, 6) and placed[0, :2].tolist() == [1, 2]


def test_maps_of_other_grids_and_with_nan_are_refused():
  residual, anomaly, mask = scan((6, 5, 4))
  with pytest.raises(ValueError, match=r'anomaly has shape \(5, 5, 4\)'):
    descriptors.cells_of(residual, anomaly[1:], mask, 1.0, 4)
  with pytest.raises(ValueError, match='residual: 120 of 120 values are NaN'):
    descriptors.components_of(residual * np.nan, anomaly, mask, 1.0)
  with pytest.raises(ValueError, match='descriptors: there are none'):
    descriptors.scale_of(np.zeros((0, 4)))
  with pytest.raises(ValueError, match='reach is 0'):
    descriptors.placed(np.zeros((1, 2)), np.zeros((1, 4)), 0)
