"""Synthetic anomalies: ways to paint random shapes into healthy images.

Pure functions of a key, channels last, 2-D and 3-D by the shape. A painter takes (key,
image, foreign, mask, shape) of one example and returns the image changed inside the
soft `shape` [*S]; `paint` draws shapes and painters for a batch. Held-out painters and
the masks of real lesions serve to test what was trained on the others.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.registration.flow import integrate
from uad_jax.registration.warp import grid, warp
from uad_jax.shapes import blobs, smooth

Array = jax.Array
Key = jax.Array


def blend(image: Array, filled: Array, shape: Array) -> Array:
  """`filled` inside the soft shape [*S], `image` outside."""
  return image + shape[..., None] * (filled - image)


def local_mean(image: Array, shape: Array) -> Array:
  """Mean of the image inside the shape, by channel; [1, ..., 1, C]."""
  axes = tuple(range(shape.ndim))
  weight = shape[..., None]
  total = (image * weight).sum(axes, keepdims=True)
  return total / jnp.maximum(weight.sum(axes, keepdims=True), 1e-6)


def _signed(key: Key, low: float, high: float) -> Array:
  drawn = jax.random.uniform(key, minval=-1.0, maxval=1.0)
  return jnp.sign(drawn) * (low + jnp.abs(drawn) * (high - low))


def factor(key: Key, image: Array, foreign: Array, mask: Array, shape: Array) -> Array:
  """Intensity times exp(a), a of both signs, |a| in [0.15, 0.8]."""
  return blend(image, image * jnp.exp(_signed(key, 0.15, 0.8)), shape)


def shift(key: Key, image: Array, foreign: Array, mask: Array, shape: Array) -> Array:
  """Intensity plus a constant of both signs, size in [0.1, 0.5]."""
  return blend(image, jnp.maximum(image + _signed(key, 0.1, 0.5), 0.0), shape)


def constant(
  key: Key, image: Array, foreign: Array, mask: Array, shape: Array
) -> Array:
  """One intensity from [0, 1.2], with a little of the old texture left."""
  drawn = jax.random.uniform(key, (2,))
  texture = image - local_mean(image, shape)
  filled = 1.2 * drawn[0] + 0.5 * drawn[1] * texture
  return blend(image, jnp.maximum(filled, 0.0), shape)


def patch(key: Key, image: Array, foreign: Array, mask: Array, shape: Array) -> Array:
  """Another scan's content from elsewhere in the brain (foreign patch)."""
  drawn = jax.random.uniform(key, (1 + mask.ndim,), minval=-1.0, maxval=1.0)
  rolled = foreign
  for axis, n in enumerate(mask.shape):
    steps = jnp.round(drawn[1 + axis] * (n // 4)).astype(jnp.int32)
    rolled = jnp.roll(rolled, steps, axis)
  share = 0.7 + 0.3 * drawn[0]
  return blend(image, rolled, share * shape)


def texture(key: Key, image: Array, foreign: Array, mask: Array, shape: Array) -> Array:
  """The same mean, another texture: correlated noise in place of the detail."""
  key_fine, key_coarse, key_numbers = jax.random.split(key, 3)
  drawn = jax.random.uniform(key_numbers, (2,))
  cells = (max(mask.shape) // 3,) * mask.ndim
  noise = jax.random.normal(key_fine, mask.shape)
  noise = noise + smooth(jax.random.normal(key_coarse, cells), mask.shape)
  noise = noise - (noise * shape).sum() / jnp.maximum(shape.sum(), 1e-6)
  size, rest = 0.02 + 0.13 * drawn[0], 0.6 * drawn[1]
  mean = local_mean(image, shape)
  filled = mean + rest * (image - mean) + size * noise[..., None]
  return blend(image, jnp.maximum(filled, 0.0), shape)


def smear(key: Key, image: Array, foreign: Array, mask: Array, shape: Array) -> Array:
  """The local mean in place of the tissue's detail: borders vanish inside the shape."""
  share = jax.random.uniform(key, (), minval=0.5, maxval=1.0)
  return blend(image, image + share * (local_mean(image, shape) - image), shape)


def swirl(key: Key, image: Array, foreign: Array, mask: Array, shape: Array) -> Array:
  """The content turned about the shape's centre by up to 2.5 rad, in one plane."""
  offset, _ = _from_centre(shape)
  angle = _signed(key, 0.8, 2.5) * shape
  a, b = offset[..., 0], offset[..., 1]
  turned = jnp.stack(
    [a * jnp.cos(angle) - b * jnp.sin(angle), a * jnp.sin(angle) + b * jnp.cos(angle)],
    -1,
  )
  displacement = jnp.zeros_like(offset).at[..., :2].set(turned - offset[..., :2])
  return warp(image[None], displacement[None])[0]


def mass_effect(
  key: Key, image: Array, foreign: Array, mask: Array, shape: Array
) -> Array:
  """Tissue pushed away (or drawn in) by a radial velocity field about the shape."""
  offset, size = _from_centre(shape)
  reach = 1.5 * size
  push = _signed(key, 0.15, 0.35) * jnp.exp(-(offset**2).sum(-1) / (2 * reach**2))
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
  key_choice, key_paint = jax.random.split(key)
  size = len(image)
  choice = jax.random.randint(key_choice, (size,), 0, len(painters))
  branches = [PAINTERS[name] for name in painters]

  def one(choice, *arguments):
    return jax.lax.switch(choice, branches, *arguments)

  foreign = jnp.roll(image, 1, 0)
  keys = jax.random.split(key_paint, size)
  return jax.vmap(one)(choice, keys, image, foreign, mask[..., 0], shape) * mask


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
  key_shape, key_share, key_paint = jax.random.split(key, 3)
  shape = jax.vmap(lambda key, mask: blobs(key, mask, most))(
    jax.random.split(key_shape, len(image)), mask[..., 0]
  )
  painted = jax.random.bernoulli(key_share, share, (len(image),))
  shape = shape * painted.reshape((-1,) + (1,) * (shape.ndim - 1))
  return paint_shape(key_paint, image, mask, shape, painters), shape[..., None]


def coarse_noise(
  key: Key, image: Array, mask: Array, deviation: float = 0.2, cells: int = 16
) -> Array:
  """Kascenas et al. 2022: normal noise drawn on a coarse grid, up-sampled and added."""
  spatial = image.shape[1:-1]
  coarse = jax.random.normal(
    key, (len(image), *[cells] * len(spatial), image.shape[-1])
  )
  noise = jax.image.resize(coarse, image.shape, 'linear')
  return image + deviation * noise * mask
