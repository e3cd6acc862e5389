"""Moments of weighted vectors and their distances, against numpy."""

import jax.numpy as jnp
import numpy as np

from uad_jax.ops.moment_matching import coral, mean_distance, moments


def test_moments_and_distances_are_those_of_numpy_without_the_padding():
  rng = np.random.default_rng(0)
  a, b = rng.normal(0, 1, (7, 3)), rng.normal(1, 2, (5, 3))
  padded = np.concatenate([a, np.full((2, 3), 1e3)]).astype(np.float32)
  weight = np.array([1] * 7 + [0] * 2, np.float32)
  mean_a, covariance_a = moments(jnp.array(padded), jnp.array(weight))
  mean_b, covariance_b = moments(jnp.array(b, jnp.float32), jnp.ones(5))
  # numpy's unbiased covariance of the vectors that are no padding, in float64.
  expected = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
  np.testing.assert_allclose(mean_a, a.mean(0), rtol=1e-5)
  np.testing.assert_allclose(covariance_a, expected[0], rtol=1e-4)
  np.testing.assert_allclose(
    coral(covariance_a, covariance_b),
    np.linalg.norm(expected[0] - expected[1], 'fro') ** 2 / (4 * 3**2),
    rtol=1e-4,
  )
  np.testing.assert_allclose(
    mean_distance(mean_a, mean_b), np.mean((a.mean(0) - b.mean(0)) ** 2), rtol=1e-4
  )


def test_a_single_vector_has_covariance_zero():
  mean, covariance = moments(jnp.array([[1.0, 2.0], [9.0, 9.0]]), jnp.array([1.0, 0.0]))
  np.testing.assert_array_equal(mean, [1, 2])
  np.testing.assert_array_equal(covariance, np.zeros((2, 2)))
