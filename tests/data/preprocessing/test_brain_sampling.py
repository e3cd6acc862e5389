import numpy as np
import pytest

from uad_jax.data.preprocessing import grid
from uad_jax.data.preprocessing.brain_sampling import sample_brain


@pytest.mark.parametrize('spacing', [(4.0,) * 3, (8.0, 3.0, 1.0), (0.7,) * 3])
@pytest.mark.parametrize('corner', [0, 12])
def test_the_blur_of_the_box_is_that_of_the_volume(spacing, corner):
  # Oracle: grid.sample, which blurs the whole volume.
  rng = np.random.default_rng(0)
  mask = np.zeros((50, 44, 40), bool)
  mask[corner : corner + 20, corner : corner + 15, 20:40] = True
  brain = np.where(mask, rng.random(mask.shape), 0).astype(np.float32)
  affine = np.diag([1.0, 1.1, 0.9, 1])
  shape, coarse = grid.respaced(mask.shape, affine, spacing)
  matrix = np.linalg.inv(affine) @ coarse
  oracle = grid.sample(brain, matrix, shape, antialias=True)
  sampled = sample_brain(brain, mask, matrix, shape)
  np.testing.assert_array_equal(sampled, oracle)
  assert sampled.dtype == np.float32
