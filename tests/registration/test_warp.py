import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from jax.test_util import check_grads

from uad_jax.registration.warp import warp

SHAPES = [(9, 7), (6, 7, 5), (4, 1)]
# scipy's names; its 'constant' would not interpolate over the border.
SCIPY_MODE = {'border': 'nearest', 'zeros': 'grid-constant'}


def random_case(shape, scale, seed=0, channels=2):
  rng = np.random.default_rng(seed)
  image = rng.normal(size=(2, *shape, channels)).astype('float32')
  field = rng.normal(size=(2, *shape, len(shape)), scale=scale).astype('float32')
  return image, field


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('padding', ['border', 'zeros'])
@pytest.mark.parametrize('order', ['linear', 'nearest'])
def test_warp_is_map_coordinates(shape, padding, order):
  compiled = jax.jit(lambda x, u: warp(x, u, order, padding))
  for scale in (0.3, 3.0):
    image, field = random_case(shape, scale)
    got = compiled(image, field)
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing='ij'), -1) + field
    # Oracle: scipy.ndimage.map_coordinates, image by image and channel by channel.
    for b, c in np.ndindex(2, 2):
      want = scipy.ndimage.map_coordinates(
        image[b, ..., c],
        np.moveaxis(points[b], -1, 0),
        order=1 if order == 'linear' else 0,
        mode=SCIPY_MODE[padding],
      )
      np.testing.assert_allclose(got[b, ..., c], want, atol=1e-5)


@pytest.mark.parametrize('shape', SHAPES)
def test_warp_by_zero_is_the_identity(shape):
  image, field = random_case(shape, 0.0)
  np.testing.assert_array_equal(jax.jit(warp)(image, field), image)


@pytest.mark.parametrize('shape', SHAPES)
def test_warp_by_whole_voxels_is_a_roll_inside(shape):
  image, field = random_case(shape, 0.0)
  shift = np.arange(1, 1 + len(shape))
  got = jax.jit(warp)(image, field + shift.astype('float32'))
  axes = tuple(range(1, 1 + len(shape)))
  want = np.roll(image, tuple(-shift), axes)
  inside = (slice(None), *(slice(0, -s) for s in shift))
  np.testing.assert_array_equal(np.asarray(got)[inside], want[inside])


@pytest.mark.parametrize('shape', [(5, 4), (3, 4, 3)])
@pytest.mark.parametrize('padding', ['border', 'zeros'])
def test_gradients(shape, padding):
  compiled = jax.jit(lambda x, u: warp(x, u, padding=padding))
  for scale in (0.2, 2.0):
    image, field = random_case(shape, scale, seed=1)
    # Finite differences must not step over a voxel centre, where warp has a kink.
    part = field - np.floor(field)
    field = (np.floor(field) + np.clip(part, 0.1, 0.9)).astype('float32')
    check_grads(compiled, (image, field), 1, ('rev',), atol=2e-2)


@pytest.mark.parametrize('scale', [0.2, 2.0])
def test_adjoint(scale):
  """<warp(x), y> = <x, warp^T(y)>: the derivative in the image is the transpose."""
  image, field = random_case((8, 9), scale)
  other = random_case((8, 9), 0, seed=5)[0]
  warped, transpose = jax.vjp(jax.jit(lambda x: warp(x, field)), image)
  np.testing.assert_allclose(
    jnp.vdot(warped, other), jnp.vdot(image, transpose(other)[0]), rtol=1e-4
  )


def test_nearest_keeps_labels():
  labels = np.random.default_rng(0).integers(0, 5, (1, 8, 8, 1)).astype('float32')
  _, field = random_case((8, 8), 1.0)
  assert set(np.unique(warp(labels, field[:1], 'nearest'))) <= set(range(5))


@pytest.mark.parametrize(
  ('arguments', 'words'),
  [
    (dict(order='cubic'), "order 'cubic' must be of"),
    (dict(padding='wrap'), "padding 'wrap' of"),
  ],
)
def test_unknown_choice(arguments, words):
  image, field = random_case((4, 4), 0.0)
  with pytest.raises(ValueError, match=words):
    warp(image, field, **arguments)


def test_field_of_another_grid():
  image, _ = random_case((4, 4), 0.0)
  with pytest.raises(ValueError, match=r'needs a displacement of shape \(2, 4, 4, 2\)'):
    warp(image, np.zeros((2, 4, 5, 2), 'float32'))
