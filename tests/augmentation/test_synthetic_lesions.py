import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.augmentation.phantoms import batch
from tests.long_variants import all_but
from uad_jax.augmentation import synthetic_lesions


@pytest.mark.parametrize(
  'shape', all_but([(32, 32), (16, 16, 16)], [(32, 32)]), ids=['2d', '3d']
)
@pytest.mark.parametrize('name', synthetic_lesions.PAINTERS)
def test_painter_changes_the_shape_and_nothing_else(name, shape, key):
  image, mask = batch(shape)
  ball = jnp.zeros(shape).at[tuple(slice(n // 3, n // 2 + 1) for n in shape)].set(1.0)
  painted = synthetic_lesions.paint_shape(
    key, image, mask, jnp.broadcast_to(ball, (3, *shape)), (name,)
  )
  change = jnp.abs(painted - image).max((0, -1))
  assert change[ball > 0].max() > 0.01
  reach = 0.0 if name != 'mass_effect' else 1.0  # which moves its surroundings too
  assert change[ball == 0].max() <= reach
  assert jnp.isfinite(painted).all() and painted.min() >= 0


def test_mass_effect_fades_with_distance(key):
  image, mask = batch((48, 48))
  ball = jnp.zeros((48, 48)).at[20:24, 20:24].set(1.0)
  painted = synthetic_lesions.paint_shape(
    key, image, mask, jnp.broadcast_to(ball, (3, 48, 48)), ('mass_effect',)
  )
  assert jnp.abs(painted - image)[:, 36:, 36:].max() < 1e-3


def test_texture_keeps_the_mean(key):
  image, mask = batch((32, 32))
  ball = jnp.zeros((3, 32, 32)).at[:, 10:20, 10:20].set(1.0)
  painted = synthetic_lesions.paint_shape(key, image, mask, ball, ('texture',))
  before = (image[..., 0] * ball).sum((1, 2))
  np.testing.assert_allclose((painted[..., 0] * ball).sum((1, 2)), before, rtol=2e-3)


@pytest.mark.slow
def test_paint_leaves_the_unchosen_alone_and_is_deterministic(key):
  image, mask = batch((32, 32), 16)
  painted, shape = synthetic_lesions.paint(key, image, mask, share=0.5)
  untouched = shape.max((1, 2, 3)) == 0
  assert 2 <= untouched.sum() <= 14
  np.testing.assert_array_equal(painted[untouched], image[untouched])
  again, _ = synthetic_lesions.paint(key, image, mask, share=0.5)
  np.testing.assert_array_equal(painted, again)


def test_an_unknown_painter_is_named():
  image, mask = batch((16, 16))
  with pytest.raises(ValueError, match="unknown painter 'glitter'; there are factor"):
    synthetic_lesions.paint_shape(
      jax.random.key(0), image, mask, mask[..., 0], ('glitter',)
    )


def test_coarse_noise_is_coarse_and_stays_in_the_brain(key):
  image, mask = batch((32, 32))
  noise = synthetic_lesions.coarse_noise(key, image, mask, 0.2, 8) - image
  assert jnp.abs(noise * (1 - mask)).max() == 0
  inside = noise[:, 12:20, 12:20, 0]
  assert jnp.abs(jnp.diff(inside, axis=1)).mean() < 0.5 * jnp.abs(inside).mean()


@pytest.mark.parametrize('shape', [(24, 16), (12, 8, 8)], ids=['2d', '3d'])
def test_coarse_noise_lies_elsewhere_in_each_example(shape, key):
  """Rolled back it is the up-sampled noise; of a grid of nodes each place is a node."""
  ones = jnp.ones((4000, *shape, 1))
  noise = synthetic_lesions.coarse_noise(key, 0 * ones, ones, 0.5, 4)
  # Without the shift the deviation would depend on the place: at the border 0.5,
  # halfway between two nodes 0.5 / sqrt(2) by axis.
  deviation = noise.std(0)
  np.testing.assert_allclose(deviation, deviation.mean(), rtol=0.1)
  assert 0.5 / 2 ** (len(shape) / 2) < deviation.mean() < 0.5
  np.testing.assert_allclose(noise.mean(0), 0.0, atol=0.04)
