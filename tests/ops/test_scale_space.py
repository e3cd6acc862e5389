"""Responses at several scales: bounds, signs, and the search of the right scale."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from uad_jax.ops.scale_space import magnitude, responses, unusual


def test_a_response_is_the_smoothed_clipped_residual():
  z = np.random.default_rng(0).normal(size=(2, 12, 10, 8, 1)).astype(np.float32) * 3
  found = responses(jnp.asarray(z), (0.7, 1.5), limit=2.0)
  for i, scale in enumerate((0.7, 1.5)):
    for image, response in zip(z, found, strict=True):
      expected = gaussian_filter(image[..., 0].clip(-2, 2), scale, mode='nearest')
      np.testing.assert_allclose(response[..., i], expected, atol=1e-5)


def test_channels_of_one_scale_stay_together():
  z = jnp.stack([jnp.zeros((1, 6, 6)), jnp.ones((1, 6, 6))], -1)
  found = responses(z, (1.0, 2.0), limit=3.0)
  np.testing.assert_allclose(found[0, 3, 3], [0, 1, 0, 1], atol=1e-6)


def test_a_region_outweighs_a_thin_edge_of_both_signs():
  z = np.zeros((1, 32, 32, 1), np.float32)
  z[0, 4:10, 4:10] = 2.0
  z[0, 20, 4:28], z[0, 21, 4:28] = 6.0, -6.0
  y = magnitude(responses(jnp.asarray(z), (2.0,), limit=3.0))[0, ..., 0]
  assert abs(z).max() == 6 and float(y[6:8, 6:8].min()) > 3 * float(y[18:23].max())


@pytest.mark.parametrize(
  'sign, expected', [('absolute', 5.0), ('bright', 3.0), ('dark', 4.0)]
)
def test_signs(sign, expected):
  value = jnp.array([[[3.0, -4.0]]])
  assert float(magnitude(value, sign)[0, 0, 0] * 2**0.5) == pytest.approx(expected)


def test_unusual_compares_a_map_with_the_rest_of_the_brain():
  rng = np.random.default_rng(1)
  value = jnp.asarray(rng.uniform(0, 1, (2, 9, 9, 1)), jnp.float32)
  value = value * jnp.array([1.0, 20.0]).reshape(2, 1, 1, 1)
  mask = jnp.ones_like(value).at[:, :3].set(0)
  found = unusual(value, mask)
  np.testing.assert_array_equal(found[0], value[0])
  assert float(jnp.median(found[1, 3:])) == pytest.approx(1)
