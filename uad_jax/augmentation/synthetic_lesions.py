"""Synthetic anomalies: ways to paint random shapes into healthy images.

Pure functions, channels last, 2-D and 3-D by the shape. A painter takes (drawn, image,
foreign, mask, shape) of one example and returns the image changed inside the soft
`shape` [*S]; `paint` draws shapes and painters for a batch. Held-out painters and the
masks of real lesions serve to test what was trained on the others.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax.augmentation.lesion_shapes import blobs, draw, smooth
from uad_jax.registration.flow import integrate
from uad_jax.registration.warp import grid, warp

Array = jax.Array
Key = jax.Array


class Drawn(NamedTuple):
  """The chance in one painting; each painter uses what it needs."""

  numbers: Array  # uniform in (0, 1), [4]
  fine: Array  # normal, [*S]
  coarse: Array  # normal, a third of the longest axis along each


def blend(image: Array, filled: Array, shape: Array) -> Array:
  """`filled` inside the soft shape [*S], `image` outside."""
  return image + shape[..., None] * (filled - image)


def local_mean(image: Array, shape: Array) -> Array:
  """Mean of the image inside the shape, by channel; [1, ..., 1, C]."""
  axes = tuple(range(shape.ndim))
  weight = shape[..., None]
  total = (image * weight).sum(axes, keepdims=True)
  return total / jnp.maximum(weight.sum(axes, keepdims=True), 1e-6)


def _signed(number: Array, low: float, high: float) -> Array:
  centred = 2 * number - 1
  return jnp.sign(centred) * (low + jnp.abs(centred) * (high - low))


def factor(
  drawn: Drawn, image: Array, foreign: Array, mask: Array, shape: Array
) -> Array:
  """Intensity times exp(a), a of both signs, |a| in [0.15, 0.8]."""
  return blend(image, image * jnp.exp(_signed(drawn.numbers[0], 0.15, 0.8)), shape)


def shift(
  drawn: Drawn, image: Array, foreign: Array, mask: Array, shape: Array
) -> Array:
  """Intensity plus a constant of both signs, size in [0.1, 0.5]."""
  return blend(
    image, jnp.maximum(image + _signed(drawn.numbers[0], 0.1, 0.5), 0.0), shape
  )


def constant(
  drawn: Drawn, image: Array, foreign: Array, mask: Array, shape: Array
) -> Array:
  """One intensity from [0, 1.2], with a little of the old texture left."""
  level, rest = drawn.numbers[:2]
  texture = image - local_mean(image, shape)
  filled = 1.2 * level + 0.5 * rest * texture
  return blend(image, jnp.maximum(filled, 0.0), shape)


def patch(
  drawn: Drawn, image: Array, foreign: Array, mask: Array, shape: Array
) -> Array:
  """Another scan's content from elsewhere in the brain (foreign patch)."""
  rolled = foreign
  for axis, n in enumerate(mask.shape):
    along = 2 * drawn.numbers[1 + axis] - 1
    rolled = jnp.roll(rolled, jnp.round(along * (n // 4)).astype(jnp.int32), axis)
  share = 0.4 + 0.6 * drawn.numbers[0]
  return blend(image, rolled, share * shape)


def texture(
  drawn: Drawn, image: Array, foreign: Array, mask: Array, shape: Array
) -> Array:
  """The same mean, another texture: correlated noise in place of the detail."""
  noise = drawn.fine + smooth(drawn.coarse, mask.shape)
  noise = noise - (noise * shape).sum() / jnp.maximum(shape.sum(), 1e-6)
  size, rest = 0.02 + 0.13 * drawn.numbers[0], 0.6 * drawn.numbers[1]
  mean = local_mean(image, shape)
  filled = mean + rest * (image - mean) + size * noise[..., None]
  return blend(image, jnp.maximum(filled, 0.0), shape)


def smear(
  drawn: Drawn, image: Array, foreign: Array, mask: Array, shape: Array
) -> Array:
  """The local mean in place of the tissue's detail: borders vanish inside the shape."""
  share = 0.5 + 0.5 * drawn.numbers[0]
  return blend(image, image + share * (local_mean(image, shape) - image), shape)


def swirl(
  drawn: Drawn, image: Array, foreign: Array, mask: Array, shape: Array
) -> Array:
  """The content turned about the shape's centre by up to 2.5 rad, in one plane."""
  offset, _ = _from_centre(shape)
  angle = _signed(drawn.numbers[0], 0.8, 2.5) * shape
  a, b = offset[..., 0], offset[..., 1]
  turned = jnp.stack(
    [a * jnp.cos(angle) - b * jnp.sin(angle), a * jnp.sin(angle) + b * jnp.cos(angle)],
    -1,
  )
  displacement = jnp.zeros_like(offset).at[..., :2].set(turned - offset[..., :2])
  return warp(image[None], displacement[None])[0]


def mass_effect(
  drawn: Drawn, image: Array, foreign: Array, mask: Array, shape: Array
) -> Array:
  """Tissue pushed away (or drawn in) by a radial velocity field about the shape."""
  offset, size = _from_centre(shape)
  reach = 1.5 * size
  push = _signed(drawn.numbers[0], 0.15, 0.35) * jnp.exp(
    -(offset**2).sum(-1) / (2 * reach**2)
  )
  return warp(image[None], integrate(-(push[..., None] * offset)[None], 5))[0]


def _from_centre(shape: Array) -> tuple[Array, Array]:
  """Offsets [*S, d] from the shape's centre of mass, and its radius; in voxels."""
  where = grid(shape.shape)
  total = jnp.maximum(shape.sum(), 1e-6)
  axes = tuple(range(shape.ndim))
  centre = (where * shape[..., None]).sum(axes, keepdims=True) / total
  offset = where - centre
  spread = ((offset**2).sum(-1) * shape).sum() / total
  return offset, jnp.sqrt(spread + 1.0)


PAINTERS = {
  painter.__name__: painter
  for painter in (factor, shift, constant, patch, texture, smear, swirl, mass_effect)
}

TRAINING = ('factor', 'shift', 'constant', 'patch', 'texture', 'smear')
"""The painters of training; 'swirl' and 'mass_effect' are held out for tests."""


def paint_shape(
  key: Key, image: Array, mask: Array, shape: Array, painters: Sequence[str] = TRAINING
) -> Array:
  """Paints given shapes into a batch, a painter drawn for each example; [B, *S, C].

  Args:
    key: Used once.
    image: [B, *S, C]; 0 outside the brain.
    mask: [B, *S, 1].
    shape: [B, *S] soft, in [0, 1].
    painters: Names from `PAINTERS`.
  """
  unknown = [name for name in painters if name not in PAINTERS]
  if unknown:
    raise ValueError(f"unknown painter '{unknown[0]}'; there are {', '.join(PAINTERS)}")
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

  def one(choice, *arguments):
    return jax.lax.switch(choice, branches, *arguments)

  foreign = jnp.roll(image, 1, 0)
  return jax.vmap(one)(choice, drawn, image, foreign, mask[..., 0], shape) * mask


def paint(
  key: Key,
  image: Array,
  mask: Array,
  painters: Sequence[str] = TRAINING,
  share: float = 1.0,
  most: int = 4,
) -> tuple[Array, Array]:
  """Paints random blobs into a share of the batch.

  Returns:
    The painted images [B, *S, C] and the soft shapes [B, *S, 1], zero where nothing was
    painted.
  """
  key_shape, key_paint = jax.random.split(key)
  shape = blobs(key_shape, mask[..., 0], share, most)
  return paint_shape(key_paint, image, mask, shape, painters), shape[..., None]


def coarse_noise(
  key: Key, image: Array, mask: Array, deviation: float = 0.2, cells: int = 16
) -> Array:
  """Kascenas et al. 2022: normal noise drawn on a coarse grid, up-sampled and added.

  The grid lies elsewhere in each example (the noise is rolled), so that its nodes, at
  which the noise is strongest, tell nothing.

  Args:
    key: Used once.
    image: [B, *S, C].
    mask: [B, *S, 1]; the noise is added inside.
    deviation: Standard deviation at the nodes, in image units.
    cells: Nodes along each axis.
  """
  spatial = image.shape[1:-1]
  d = len(spatial)
  key_noise, key_shift = jax.random.split(key)
  coarse = jax.random.normal(key_noise, (len(image), *[cells] * d, image.shape[-1]))
  noise = jax.image.resize(coarse, image.shape, 'linear')
  shift = jax.random.randint(key_shift, (len(image), d), 0, jnp.array([spatial]))
  noise = jax.vmap(lambda one, by: jnp.roll(one, by, range(d)))(noise, shift)
  return image + deviation * noise * mask
