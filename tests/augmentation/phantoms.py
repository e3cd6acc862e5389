"""A round brain of smooth, varied intensity."""

import jax.numpy as jnp

from uad_jax.registration.warp import grid


def brain(shape):
  """A ball of smooth, varied intensity."""
  where = grid(shape)
  centre = jnp.array([(n - 1) / 2 for n in shape]).reshape((1,) * len(shape) + (-1,))
  radius = jnp.sqrt(((where - centre) ** 2).sum(-1))
  mask = (radius < 0.42 * shape[0]).astype(jnp.float32)
  image = (0.6 + 0.2 * jnp.sin(0.9 * where).prod(-1)) * mask
  return image[..., None], mask[..., None]


def batch(shape, size=3):
  image, mask = brain(shape)
  scale = jnp.linspace(0.8, 1.2, size).reshape((size,) + (1,) * (len(shape) + 1))
  return image[None] * scale, jnp.broadcast_to(mask[None], (size, *mask.shape))
