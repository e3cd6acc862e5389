"""The pyramid and its inverse, and one auto-encoder for each of its bands."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from tests.method_table import make_batch
from uad_jax.methods import scale_space_ae
from uad_jax.ops import laplacian_pyramid

TINY = dict(levels=2, widths=(8,), band_widths=(4, 8), latent=4)
SHAPE = (16, 16)


@pytest.mark.parametrize('shape', [(16, 16), (13, 22), (8, 12, 10)])
def test_the_pyramid_put_together_is_the_image(shape, key):
  image = jax.random.uniform(key, (2, *shape, 2))
  bands = laplacian_pyramid.laplacian(image, 3)
  assert [b.shape[1:-1] for b in bands] == [
    tuple(-(-n // 2**i) for n in shape) for i in range(3)
  ]
  np.testing.assert_allclose(laplacian_pyramid.compose(bands), image, atol=1e-6)


def test_halving_smooths_by_one_three_three_one(key):
  image = jax.random.uniform(key, (1, 16, 16, 1))
  found = laplacian_pyramid.gaussian(image, 2)[1][0, 1:-1, 1:-1, 0]
  # Oracle: scipy's correlation, then every second value; the border apart.
  kernel = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
  want = scipy.ndimage.correlate(np.float64(image[0, ..., 0]), kernel)[1::2, 1::2]
  np.testing.assert_allclose(found, want[1:-1, 1:-1], rtol=1e-4)


def test_a_constant_lies_in_the_coarsest_band_alone():
  *bands, coarsest = laplacian_pyramid.laplacian(jnp.full((1, 16, 16, 1), 0.7), 3)
  for band in bands:
    np.testing.assert_allclose(band, 0, atol=1e-6)
  np.testing.assert_allclose(coarsest, 0.7, rtol=1e-6)


@pytest.mark.parametrize('bottleneck', ['dense', 'spatial'])
@pytest.mark.parametrize('shape', [(16, 8), (8, 16, 8)])
def test_a_network_for_each_band(shape, bottleneck):
  options = TINY | {'widths': (8, 8), 'bottleneck': bottleneck}
  method = scale_space_ae.make(shape, **options)
  batch = make_batch(shape, 2)

  def run(key):
    params, stats = method.init(key, batch)
    value, _ = method.objectives['autoencoders'].loss(params, stats, batch, key, 0)
    return params, value, method.infer(params, stats, batch, key)

  params, value, outputs = jax.eval_shape(run, jax.random.key(0))
  assert value.shape == () and set(params) == {'band_0', 'band_1'}
  assert outputs['reconstruction'].shape == batch['image'].shape
  assert outputs['scale_residual'].shape == batch['image'].shape
  assert (outputs['latent'].ndim == 2) == (bottleneck == 'dense')


def test_networks_that_give_nothing_leave_the_pyramid_as_residual(key):
  method, batch = scale_space_ae.make(SHAPE, **TINY), make_batch(SHAPE, 3)
  batch['weight'][2] = 0
  params, stats = jax.jit(method.init)(key, batch)
  params = jax.tree.map(jnp.zeros_like, params)
  outputs = jax.jit(method.infer)(params, stats, batch, key)
  np.testing.assert_array_equal(outputs['reconstruction'], 0)
  fine, coarse = laplacian_pyramid.laplacian(batch['image'], 2)
  mean = (
    (np.abs(fine) + laplacian_pyramid.resize(jnp.abs(coarse), SHAPE))
    / 2
    * batch['mask']
  )
  np.testing.assert_allclose(outputs['scale_residual'], mean, rtol=1e-5)
  value, (_, parts) = jax.jit(method.objectives['autoencoders'].loss)(
    params, stats, batch, key, 0
  )
  # Oracle: numpy over the brain of the first two scans.
  shares = laplacian_pyramid.gaussian(batch['mask'], 2)
  for i, (band, share) in enumerate(zip((fine, coarse), shares, strict=True)):
    want = (np.abs(band) * share)[:2].sum() / 2
    np.testing.assert_allclose(parts[f'l1_{i}'], want, rtol=1e-5)
  np.testing.assert_allclose(value, sum(parts.values()), rtol=1e-6)


def test_what_is_not_possible_is_told():
  with pytest.raises(ValueError, match="unknown bottleneck 'wide'; there are dense"):
    scale_space_ae.make(SHAPE, bottleneck='wide')
  with pytest.raises(ValueError, match=r'\(6, 6\) cannot be halved 2 times'):
    scale_space_ae.make((12, 12), **{**TINY, 'widths': (8, 8)})
