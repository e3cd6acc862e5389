import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uad_jax.nets.baur2021 import StudyDecoding
from uad_jax.nets.critic import ImageCritic, LatentCritic
from uad_jax.nets.layers.grid_norm import GridNorm


def size(module, *inputs):
  variables = jax.eval_shape(module.init, jax.random.key(0), *inputs)
  return sum(x.size for x in jax.tree.leaves(variables))


@pytest.mark.parametrize(
  'widths, golden',
  [((50, 50), 9051), ((100, 50), 18_001), ((200, 400), 106_601)],
)
def test_latent_critics(widths, golden):
  # By hand: 128 a + a + a b + b + b + 1 for the widths a-b on codes of 128 values.
  assert size(LatentCritic(widths), jnp.zeros((1, 128))) == golden


@pytest.mark.parametrize('shape', [(6, 4), (4, 2, 6)])
def test_grid_norm_is_a_layer_normalisation_over_the_grid(shape, key):
  x = 3 + 2 * jax.random.normal(key, (2, *shape, 5))
  norm = GridNorm()
  variables = norm.init(key, x)
  assert variables['params']['scale'].size == np.prod(shape)
  # Oracle: numpy, for each example and channel alone.
  a = np.asarray(x, np.float64)
  axes = tuple(range(1, a.ndim - 1))
  spread = np.sqrt(a.var(axes, keepdims=True) + 1e-3)
  expected = (a - a.mean(axes, keepdims=True)) / spread
  np.testing.assert_allclose(norm.apply(variables, x), expected, atol=1e-5)


def test_grid_norm_refuses_one_voxel(key):
  with pytest.raises(ValueError, match='of one voxel cannot be normalised'):
    GridNorm().init(key, jnp.zeros((2, 1, 1, 4)))


@pytest.mark.parametrize('shape', [(16, 8), (8, 8, 16)])
def test_image_critic_judges_each_example_by_itself(shape, key):
  critic, image = ImageCritic((4, 8)), jax.random.normal(key, (3, *shape, 2))
  variables = jax.jit(critic.init)(key, image)
  run = jax.jit(critic.apply)
  value, features = run(variables, image)
  assert value.shape == (3,)
  assert features.shape == (3, *(n // 4 for n in shape), 8)
  other, _ = run(variables, image.at[2].set(100.0))
  np.testing.assert_array_equal(value[:2], other[:2])
  assert value[2] != other[2]


def test_a_generator_is_normalised(key):
  z = jax.random.normal(key, (2, 5))
  plain = StudyDecoding((16, 16), 1, (8, 8))
  normed = StudyDecoding((16, 16), 1, (8, 8), norm=GridNorm)
  # A scale and a bias for each voxel of the grids 4 x 4, 8 x 8 and 16 x 16.
  assert size(normed, z) - size(plain, z) == 2 * (4**2 + 8**2 + 16**2)
