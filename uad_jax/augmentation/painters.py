"""Painters: functions that paint one kind of synthetic lesion into one image.

A painter is a pure function (drawn, image, foreign, mask, shape) -> painted image of
one 2-D or 3-D example:

  drawn: Random numbers, see `Drawn`.
  image: Image to paint into, [*S, C].
  foreign: Image of another scan, [*S, C].
  mask: Brain mask, [*S].
  shape: Soft lesion shape in [0, 1], [*S].
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax.augmentation.lesion_shapes import smooth
from uad_jax.registration.flow import integrate
from uad_jax.registration.warp import grid, warp

Array = jax.Array


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


def tissue(
  drawn: Drawn, image: Array, foreign: Array, mask: Array, shape: Array
) -> Array:
  """Paints a lesion by mixing one of the brain's darkest or brightest tissues in.

  The intensity is one of the lowest or highest 2 to 15 % of the brain's, by channel,
  and its share 0.3 to 0.9 where the shape is 1 (partial volume).
  """
  end, rank, share = drawn.numbers[:3]
  rank = 0.02 + 0.13 * rank
  brain = jnp.where(mask[..., None] > 0, image, jnp.nan).reshape(-1, image.shape[-1])
  level = jnp.nanquantile(brain, jnp.where(end < 0.5, rank, 1 - rank), axis=0)
  return blend(
    image,
    jnp.broadcast_to(jnp.nan_to_num(level), image.shape),
    (0.3 + 0.6 * share) * shape,
  )


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
  for painter in (
    *(factor, shift, constant, patch, texture, smear),
    *(tissue, swirl, mass_effect),
  )
}
"""Painters (functions that paint one kind of synthetic lesion) by name."""

TRAINING = ('factor', 'shift', 'constant', 'patch', 'texture', 'smear')
"""Painters used in training; 'tissue', 'swirl' and 'mass_effect' are held out."""
