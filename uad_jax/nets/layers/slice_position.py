"""Functions that turn the height of a slice in the head into network features.

The slice height is in [0, 1].
"""

import jax
import jax.numpy as jnp


def position_features(position: jax.Array, frequencies: int = 4) -> jax.Array:
  """Computes sine and cosine features of slice heights h (slice positions in the head).

  sin(pi 2^k h) and cos(pi 2^k h) for k = 0, 1, ...

  Args:
    position: Slice heights h [B] in [0, 1].
    frequencies: Number of frequencies.

  Returns:
    [B, 2 frequencies], first the sines and then the cosines.
  """
  scale = jnp.pi * 2.0 ** jnp.arange(frequencies)
  angle = position[:, None] * scale[None]
  return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)


def everywhere(features: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Repeats the feature vector of each example at every voxel of a grid.

  From [B, F] to [B, *shape, F].
  """
  features = features.reshape((len(features), *[1] * len(shape), features.shape[-1]))
  return jnp.broadcast_to(features, (len(features), *shape, features.shape[-1]))
