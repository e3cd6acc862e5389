import flax.linen as nn
import jax
import numpy as np
import pytest

from tests.nets.layers.close import assert_close
from uad_jax.nets.layers.group_norm import GroupNorm


@pytest.mark.parametrize('shape', [(6, 5), (4, 3, 2)])
@pytest.mark.parametrize('modulated', [False, True])
def test_it_is_flaxs_with_the_modulation_after_it(shape, modulated, key):
  key_x, key_film, key_params = jax.random.split(key, 3)
  x = 2 + 3 * jax.random.normal(key_x, (3, *shape, 12))
  film = jax.random.normal(key_film, (3, 24)) if modulated else None
  # Oracle: flax.linen.GroupNorm, then x (1 + scale) + shift.
  oracle = nn.GroupNorm(4)
  params = oracle.init(key, x)
  params = jax.tree.map(lambda p: p + jax.random.normal(key_params, p.shape), params)
  ours = GroupNorm(4)
  names = jax.tree.structure(ours.init(key, x, film))
  assert names == jax.tree.structure(params)

  def want(params, x, film):
    y = oracle.apply(params, x)
    if film is not None:
      scale, shift = np.split(np.arange(24), 2)
      wide = film.reshape(3, *[1] * len(shape), -1)
      y = y * (1 + wide[..., scale]) + wide[..., shift]
    return (y**3).sum()

  def energy(params, x, film):
    return (ours.apply(params, x, film) ** 3).sum()

  which = (0, 1, 2) if modulated else (0, 1)
  assert_close(
    jax.value_and_grad(energy, which)(params, x, film),
    jax.value_and_grad(want, which)(params, x, film),
    rtol=2e-4,
    of_largest=2e-3,
  )


def test_a_constant_image_has_finite_slopes(key):
  net = GroupNorm(2)
  x = jax.numpy.ones((2, 4, 4, 4))
  params = net.init(key, x)
  slope = jax.grad(lambda x: (net.apply(params, x) ** 2).sum())(x)
  assert np.isfinite(slope).all()


def test_channels_that_do_not_divide_are_named(key):
  with pytest.raises(ValueError, match='6 channels do not divide into 4 groups'):
    GroupNorm(4).init(key, jax.numpy.ones((1, 4, 4, 6)))
