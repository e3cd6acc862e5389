"""Functions that paint synthetic lesions into batches of images.

`paint` chooses random lesion shapes and painters (`painters.PAINTERS`), `paint_shape`
takes the shapes from the caller, such as masks of real lesions. Training uses the
painters in `TRAINING`; the other painters are for tests of trained methods.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.augmentation.lesion_shapes import blobs, draw
from uad_jax.augmentation.painters import PAINTERS, TRAINING, Drawn
from uad_jax.ops.choices import check_choice
from uad_jax.ops.residual_sign import POLARITIES

Array = jax.Array
Key = jax.Array


def one_sided(image: Array, painted: Array, polarity: str) -> Array:
  """Makes a painted lesion only brighter, or only darker, than the original image.

  Args:
    image: Image without the lesion, any shape.
    painted: Image with the lesion, of the same shape.
    polarity: 'bright' adds the absolute difference of the two images to `image`, 'dark'
      subtracts it (down to 0), and 'both' returns `painted` unchanged.
  """
  check_choice('polarity', polarity, POLARITIES)
  if polarity == 'both':
    return painted
  change = jnp.abs(painted - image)
  return image + change if polarity == 'bright' else jnp.maximum(image - change, 0.0)


def paint_shape(
  key: Key,
  image: Array,
  mask: Array,
  shape: Array,
  painters: Sequence[str] = TRAINING,
  polarity: str = 'both',
) -> Array:
  """Paints lesions of the shapes `shape`, with a random painter for each example.

  Args:
    key: Random key.
    image: [B, *S, C], 0 outside of the brain.
    mask: Brain mask [B, *S, 1].
    shape: Soft lesion shapes [B, *S] in [0, 1].
    painters: Names of painters, from `PAINTERS`, to choose from.
    polarity: Allowed changes of intensity, see `one_sided`.

  Returns:
    Painted images [B, *S, C].

  Raises:
    ValueError: A name is not in `PAINTERS`.
  """
  for name in painters:
    check_choice('painter', name, PAINTERS)
  size, grid_shape = len(image), mask.shape[1:-1]
  cells = (max(grid_shape) // 3,) * len(grid_shape)
  fine = math.prod(grid_shape)
  numbers, noise = draw(key, size, 5, fine + math.prod(cells))
  drawn = Drawn(
    numbers[:, 1:],
    noise[:, :fine].reshape(size, *grid_shape),
    noise[:, fine:].reshape(size, *cells),
  )
  choice = jnp.floor(numbers[:, 0] * len(painters)).astype(jnp.int32)
  branches = [PAINTERS[name] for name in painters]

  def paint_example(choice, *arguments):
    return jax.lax.switch(choice, branches, *arguments)

  foreign = jnp.roll(image, 1, 0)
  arguments = (choice, drawn, image, foreign, mask[..., 0], shape)
  painted = jax.vmap(paint_example)(*arguments)
  return one_sided(image, painted, polarity) * mask


def paint(
  key: Key,
  image: Array,
  mask: Array,
  painters: Sequence[str] = TRAINING,
  share: float = 1.0,
  most: int = 4,
  polarity: str = 'both',
) -> tuple[Array, Array]:
  """Paints synthetic lesions of random shape into randomly chosen images of a batch.

  Args:
    key: Random key.
    image: [B, *S, C], 0 outside of the brain.
    mask: Brain mask [B, *S, 1].
    painters: Names from `PAINTERS` to choose from, one per example.
    share: Probability that an example is painted.
    most: Largest number of blobs in an example.
    polarity: Allowed changes of intensity, see `one_sided`.

  Returns:
    The painted images [B, *S, C] and the soft shapes [B, *S, 1] in [0, 1], 0 where
    nothing was painted.
  """
  key_shape, key_paint = jax.random.split(key)
  shape = blobs(key_shape, mask[..., 0], share, most)
  painted = paint_shape(key_paint, image, mask, shape, painters, polarity)
  return painted, shape[..., None]


def coarse_noise(
  key: Key, image: Array, mask: Array, deviation: float = 0.2, cells: int = 16
) -> Array:
  """Adds random smooth noise to the images of a batch (Kascenas et al. 2022).

  Gaussian noise on a coarse grid is upsampled, and rolled by a random shift: it is
  strongest at the nodes of the grid, and a network must not learn their places.

  Args:
    key: Random key.
    image: [B, *S, C].
    mask: Brain mask [B, *S, 1]; outside of it nothing is added.
    deviation: Standard deviation at the nodes, in image units.
    cells: Number of nodes along each axis.

  Returns:
    [B, *S, C].
  """
  spatial = image.shape[1:-1]
  d = len(spatial)
  key_noise, key_shift = jax.random.split(key)
  coarse = jax.random.normal(key_noise, (len(image), *[cells] * d, image.shape[-1]))
  noise = jax.image.resize(coarse, image.shape, 'linear')
  shift = jax.random.randint(key_shift, (len(image), d), 0, jnp.array([spatial]))
  noise = jax.vmap(lambda one, by: jnp.roll(one, by, range(d)))(noise, shift)
  return image + deviation * noise * mask
