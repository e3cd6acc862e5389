"""Simplex noise: its moments in closed form, its smoothness, its independence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from uad_jax.augmentation import simplex_noise


@pytest.mark.parametrize('d', [2, 3])
def test_the_variance_is_the_integral_of_the_kernel(d):
  def density(r):
    # The surface of a sphere of radius r, over the d directions a gradient may have.
    surface = {2: 2 * np.pi * r, 3: 4 * np.pi * r**2}[d]
    return (0.5 - r**2) ** 8 * r**2 / d * surface

  # Oracle: scipy's quadrature. The unskewed unit cube has the volume 1 / sqrt(d + 1).
  want = integrate.quad(density, 0, np.sqrt(0.5))[0] * np.sqrt(d + 1)
  np.testing.assert_allclose(simplex_noise.variance(d), want, rtol=1e-6)


@pytest.mark.parametrize('shape', [(9, 7), (6, 5, 4)], ids=['2d', '3d'])
def test_at_every_voxel_it_has_mean_0_and_variance_1(shape, key):
  draw = jax.jit(jax.vmap(lambda key: simplex_noise.simplex(key, shape, 3.7)))
  drawn = draw(jax.random.split(key, 20000))
  np.testing.assert_allclose(drawn.mean(0), 0.0, atol=0.035)
  np.testing.assert_allclose(drawn.var(0), 1.0, atol=0.06)


def test_octaves_have_variance_1_and_persist(key):
  keys = jax.random.split(key, 4000)
  for options in (dict(number=1), dict(number=4, persistence=0.5), {}):
    draw = jax.vmap(lambda key, o=options: simplex_noise.octaves(key, (8, 8), **o))
    drawn = jax.jit(draw)(keys)
    np.testing.assert_allclose(drawn.var(0), 1.0, atol=0.12)
    np.testing.assert_allclose(drawn.mean(0), 0.0, atol=0.08)


@pytest.mark.parametrize('shape', [(64, 64), (24, 24, 24)], ids=['2d', '3d'])
def test_it_is_continuous(shape, key):
  """Also across the simplices: with a long period steps and bends are small."""
  field = np.asarray(simplex_noise.simplex(key, shape, 160.0))
  for axis in range(len(shape)):
    step, bend = np.diff(field, axis=axis), np.diff(field, 2, axis=axis)
    assert 0.002 < np.abs(step).max() < 0.09
    assert np.abs(bend).max() < 0.01  # a discontinuity would be in the bend as well


def test_a_coarse_octave_is_coarser_than_a_fine_one(key):
  def correlation(period):
    fields = jax.vmap(lambda key: simplex_noise.simplex(key, (32, 32), period))(
      jax.random.split(key, 64)
    )
    return float((fields[:, 1:] * fields[:, :-1]).mean() / (fields**2).mean())

  found = [correlation(period) for period in (16.0, 8.0, 4.0, 2.0)]
  assert found[0] > 0.9 and found == sorted(found, reverse=True)
  # At distances of a period and more nothing is shared.
  fields = jax.vmap(lambda key: simplex_noise.simplex(key, (32, 32), 4.0))(
    jax.random.split(key, 256)
  )
  assert abs(float((fields[:, 8:] * fields[:, :-8]).mean())) < 0.03


def test_examples_and_channels_are_independent_and_keys_decide(key):
  like = jnp.zeros((3, 32, 32, 2))
  found = simplex_noise.noise(key, like, coarsest=0.125)
  assert found.shape == like.shape and found.dtype == jnp.float32
  flat = np.moveaxis(np.asarray(found), -1, 1).reshape(6, -1)
  between = np.corrcoef(flat) - np.eye(6)
  assert np.abs(between).max() < 0.35
  np.testing.assert_array_equal(found, simplex_noise.noise(key, like, coarsest=0.125))
  other = simplex_noise.noise(jax.random.key(1), like, coarsest=0.125)
  assert not np.allclose(found, other)


def test_the_directions_are_unit_and_uniform():
  vertex = jnp.meshgrid(*[jnp.arange(-12, 12)] * 3, indexing='ij')
  for d in (2, 3):
    g = np.stack(
      simplex_noise._direction(jnp.uint32(7), [v[:, :, 0] for v in vertex][:2])
    )
    if d == 3:
      g = np.stack(simplex_noise._direction(jnp.uint32(7), vertex))
    np.testing.assert_allclose((g**2).sum(0), 1.0, atol=1e-5)
    flat = g.reshape(d, -1)
    np.testing.assert_allclose(flat.mean(1), 0.0, atol=0.08)
    np.testing.assert_allclose(flat @ flat.T / flat.shape[1], np.eye(d) / d, atol=0.06)


def test_other_dimensions_are_refused():
  with pytest.raises(ValueError, match='2 or 3 dimensions, not 1'):
    simplex_noise.simplex(jax.random.key(0), (8,), 4.0)
