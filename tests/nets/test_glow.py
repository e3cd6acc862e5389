"""Invertible network: inverse, log-determinant, density of one dimension, the map."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.long_variants import all_but
from uad_jax.nets.glow import Glow, over_image, squeeze, unsqueeze


def shaken(net, image, key):
  """Parameters after which no layer is at rest."""
  params = net.init(key, image)['params']
  leaves, tree = jax.tree.flatten(params)
  keys = jax.random.split(key, len(leaves))
  moved = [
    x + 0.1 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)
  ]
  return jax.tree.unflatten(tree, moved)


@pytest.mark.parametrize('shape', [(8, 4, 2), (4, 4, 4, 1)])
def test_space_becomes_channels_and_back(shape, key):
  x = jax.random.normal(key, (3, *shape))
  packed = squeeze(x)
  assert packed.shape == (
    3,
    *[n // 2 for n in shape[:-1]],
    shape[-1] * 2 ** (len(shape) - 1),
  )
  np.testing.assert_array_equal(unsqueeze(packed), x)


@pytest.mark.parametrize('shape', all_but([(4, 8, 1), (4, 4, 4, 1)], [(4, 8, 1)]))
def test_inverse_and_log_determinant(shape, key):
  net = Glow(levels=2, steps=3, hidden=6)
  image = jax.random.normal(key, (16, *shape))
  params = shaken(net, image, key)

  @jax.jit
  def forward(x):
    return net.apply({'params': params}, x)

  flow = forward(image)
  back = jax.jit(lambda z: net.apply({'params': params}, z, method=Glow.inverse))(
    flow.latents
  )
  np.testing.assert_allclose(back, image, atol=1e-5)

  def flat(x):
    latents = net.apply({'params': params}, x.reshape(1, *shape)).latents
    return jnp.concatenate([z.ravel() for z in latents])

  jacobian = jax.jit(jax.jacrev(flat))(image[0].ravel())
  z = flat(image[0].ravel())
  # Oracle: change of variables, with the determinant of the whole Jacobian.
  expected = np.linalg.slogdet(np.float64(jacobian))[1]
  expected += float(-0.5 * (z**2 + jnp.log(2 * jnp.pi)).sum())
  total = sum(float(d[0].sum()) for d in flow.densities)
  assert total == pytest.approx(expected, rel=1e-4, abs=1e-3)
  shared = over_image(flow.densities, shape[:-1])
  assert shared.shape == (16, *shape[:-1])
  assert float(shared[0].sum()) == pytest.approx(total, rel=1e-5)


def test_the_density_integrates_to_one(key):
  # Two voxels along one axis: a density of the plane.
  net = Glow(levels=1, steps=2, hidden=4)
  params = shaken(net, jax.random.normal(key, (16, 2, 1)), key)
  line = np.linspace(-12, 12, 241)
  points = np.stack(np.meshgrid(line, line, indexing='ij'), -1).reshape(-1, 2, 1)
  flow = jax.jit(lambda x: net.apply({'params': params}, x))(jnp.float32(points))
  density = np.exp(np.float64(flow.densities[0]).sum(-1))
  assert density.sum() * (line[1] - line[0]) ** 2 == pytest.approx(1, abs=0.01)


def test_the_first_batch_is_normalised(key):
  net = Glow(levels=2, steps=2, hidden=4)
  image = 3 + 2 * jax.random.normal(key, (16, 8, 8, 1))
  params = net.init(key, image)['params']
  for z in net.apply({'params': params}, image).latents:
    np.testing.assert_allclose(z.mean((0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(z.std((0, 1, 2)), 1, atol=1e-2)
