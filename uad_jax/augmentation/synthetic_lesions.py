"""Functions that paint synthetic lesions into images, for training and for tests.

A painter is a pure function that paints one kind of lesion into one 2-D or 3-D example:
(drawn, image, foreign, mask, shape) -> image. `drawn` are the random numbers, `image`
is [*S, C], `foreign` another scan like it, `mask` the brain mask [*S] and `shape` the
soft lesion shape [*S] in [0, 1]. `paint` draws shapes and painters for a batch. The
painters not in `TRAINING`, and masks of real lesions, test the trained methods.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax.augmentation.lesion_shapes import blobs, draw, smooth
from uad_jax.ops.choices import check_choice
from uad_jax.registration.flow import integrate
from uad_jax.registration.warp import grid, warp

Array = jax.Array
Key = jax.Array


class Drawn(NamedTuple):
  """Random numbers from which a painter function computes one synthetic lesion.

  Attributes:
    numbers: Uniform in (0, 1), [4].
    fine: Standard normal, [*S].
    coarse: Standard normal, [n, ..., n], n being a third of the longest axis.
  """

  numbers: Array
  fine: Array
  coarse: Array


def blend(image: Array, filled: Array, shape: Array) -> Array:
  """Mixes two images voxelwise; the soft lesion shape is the weight of `filled`."""
  return image + shape[..., None] * (filled - image)


def local_mean(image: Array, shape: Array) -> Array:
  """Computes the weighted mean of each image channel inside of a soft lesion shape.

  The result is [1, ..., 1, C].
  """
  axes = tuple(range(shape.ndim))
  weight = shape[..., None]
  total = (image * weight).sum(axes, keepdims=True)
  return total / jnp.maximum(weight.sum(axes, keepdims=True), 1e-6)


def _signed(number: Array, low: float, high: float) -> Array:
  """Maps a uniform number to a size uniform in [low, high] with a random sign."""
  centred = 2 * number - 1
  return jnp.sign(centred) * (low + jnp.abs(centred) * (high - low))


def factor(
  drawn: Drawn, image: Array, foreign: Array, mask: Array, shape: Array
) -> Array:
  """Paints a lesion by multiplying the image's intensities by one random factor."""
  return blend(image, image * jnp.exp(_signed(drawn.numbers[0], 0.15, 0.8)), shape)


def shift(
  drawn: Drawn, image: Array, foreign: Array, mask: Array, shape: Array
) -> Array:
  """Paints a lesion by adding one random constant to the image's intensities."""
  return blend(
    image, jnp.maximum(image + _signed(drawn.numbers[0], 0.1, 0.5), 0.0), shape
  )


def constant(
  drawn: Drawn, image: Array, foreign: Array, mask: Array, shape: Array
) -> Array:
  """Paints a lesion of constant random intensity, with part of the image's texture."""
  level, rest = drawn.numbers[:2]
  texture = image - local_mean(image, shape)
  filled = 1.2 * level + 0.5 * rest * texture
  return blend(image, jnp.maximum(filled, 0.0), shape)


def patch(
  drawn: Drawn, image: Array, foreign: Array, mask: Array, shape: Array
) -> Array:
  """Paints a lesion by blending a randomly shifted other scan into the image."""
  rolled = foreign
  for axis, n in enumerate(mask.shape):
    along = 2 * drawn.numbers[1 + axis] - 1
    rolled = jnp.roll(rolled, jnp.round(along * (n // 4)).astype(jnp.int32), axis)
  share = 0.4 + 0.6 * drawn.numbers[0]
  return blend(image, rolled, share * shape)


def texture(
  drawn: Drawn, image: Array, foreign: Array, mask: Array, shape: Array
) -> Array:
  """Paints a lesion by weakening the image's texture and adding correlated noise."""
  noise = drawn.fine + smooth(drawn.coarse, mask.shape)
  noise = noise - (noise * shape).sum() / jnp.maximum(shape.sum(), 1e-6)
  size, rest = 0.02 + 0.13 * drawn.numbers[0], 0.6 * drawn.numbers[1]
  mean = local_mean(image, shape)
  filled = mean + rest * (image - mean) + size * noise[..., None]
  return blend(image, jnp.maximum(filled, 0.0), shape)


def smear(
  drawn: Drawn, image: Array, foreign: Array, mask: Array, shape: Array
) -> Array:
  """Paints a lesion by reducing the contrast between the tissues inside of it."""
  share = 0.5 + 0.5 * drawn.numbers[0]
  return blend(image, image + share * (local_mean(image, shape) - image), shape)


def swirl(
  drawn: Drawn, image: Array, foreign: Array, mask: Array, shape: Array
) -> Array:
  """Paints a lesion by twisting the image around the centre of the lesion shape."""
  offset, _ = _from_centre(shape)
  angle = _signed(drawn.numbers[0], 0.8, 2.5) * shape
  a, b = offset[..., 0], offset[..., 1]
  rotated = jnp.stack(
    [a * jnp.cos(angle) - b * jnp.sin(angle), a * jnp.sin(angle) + b * jnp.cos(angle)],
    -1,
  )
  displacement = jnp.zeros_like(offset).at[..., :2].set(rotated - offset[..., :2])
  return warp(image[None], displacement[None])[0]


def mass_effect(
  drawn: Drawn, image: Array, foreign: Array, mask: Array, shape: Array
) -> Array:
  """Paints a lesion by pushing tissue away from its centre, or towards it."""
  offset, size = _from_centre(shape)
  reach = 1.5 * size
  push = _signed(drawn.numbers[0], 0.15, 0.35) * jnp.exp(
    -(offset**2).sum(-1) / (2 * reach**2)
  )
  return warp(image[None], integrate(-(push[..., None] * offset)[None], 5))[0]


def _from_centre(shape: Array) -> tuple[Array, Array]:
  """Offsets [*S, d] from a shape's centre of mass, and its radius, in voxels."""
  points = grid(shape.shape)
  total = jnp.maximum(shape.sum(), 1e-6)
  axes = tuple(range(shape.ndim))
  centre = (points * shape[..., None]).sum(axes, keepdims=True) / total
  offset = points - centre
  spread = ((offset**2).sum(-1) * shape).sum() / total
  return offset, jnp.sqrt(spread + 1.0)


PAINTERS = {
  painter.__name__: painter
  for painter in (factor, shift, constant, patch, texture, smear, swirl, mass_effect)
}
"""Painters (functions that paint one kind of synthetic lesion) by name."""

TRAINING = ('factor', 'shift', 'constant', 'patch', 'texture', 'smear')
"""Painters used in training; 'swirl' and 'mass_effect' are held out for tests."""


def paint_shape(
  key: Key, image: Array, mask: Array, shape: Array, painters: Sequence[str] = TRAINING
) -> Array:
  """Paints synthetic lesions of given shapes, with a random painter for each example.

  Args:
    key: Random key.
    image: [B, *S, C], 0 outside of the brain.
    mask: Brain mask [B, *S, 1].
    shape: Soft lesion shapes [B, *S] in [0, 1].
    painters: Names of painters, from `PAINTERS`, to choose from.

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
  return jax.vmap(paint_example)(*arguments) * mask


def paint(
  key: Key,
  image: Array,
  mask: Array,
  painters: Sequence[str] = TRAINING,
  share: float = 1.0,
  most: int = 4,
) -> tuple[Array, Array]:
  """Paints synthetic lesions of random shape into randomly chosen images of a batch.

  Args:
    key: Random key.
    image: [B, *S, C], 0 outside of the brain.
    mask: Brain mask [B, *S, 1].
    painters: Names from `PAINTERS` to choose from, one per example.
    share: Probability that an example is painted.
    most: Largest number of blobs in an example.

  Returns:
    The painted images [B, *S, C] and the soft shapes [B, *S, 1] in [0, 1], 0 where
    nothing was painted.
  """
  key_shape, key_paint = jax.random.split(key)
  shape = blobs(key_shape, mask[..., 0], share, most)
  return paint_shape(key_paint, image, mask, shape, painters), shape[..., None]


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
