"""Features of the mirrored scan."""

import jax.numpy as jnp
import numpy as np
import pytest

from uad_jax.methods.families import mirror


@pytest.mark.parametrize('shape', [(8, 6), (8, 6, 4)])
def test_a_symmetric_scan_differs_little_and_a_lesion_stands_out(shape):
  ramp = np.linspace(0, 1, shape[1]).reshape(1, -1, *[1] * (len(shape) - 2))
  image = np.broadcast_to(ramp, shape)[None, ..., None].astype(np.float32)
  mask = np.ones_like(image)
  mask[:, :1] = mask[:, -1:] = 0
  image = image * mask
  lesion = image.copy()
  lesion[:, 5, 3] += 1
  mirrored, difference = mirror.features(jnp.asarray(lesion), jnp.asarray(mask))
  np.testing.assert_array_equal(mirrored, lesion[:, ::-1])
  difference = np.asarray(difference)[0, ..., 0]
  assert np.abs(difference[:4, 1:-1][:, :1]).max() < 1e-5  # far from the lesion
  assert (difference[5, 3] > 0.9).all()
  assert (difference[2, 3] < 0).all()  # where the lesion would be on the other side
  assert not difference[0].any()
