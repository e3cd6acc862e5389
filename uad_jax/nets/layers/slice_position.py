"""Where in the head a slice lies, as features."""

import jax
import jax.numpy as jnp


def position_features(position: jax.Array, frequencies: int = 4) -> jax.Array:
  """sin and cos of pi 2^k height, height in [0, 1]; [B] to [B, 2 frequencies]."""
  scale = jnp.pi * 2.0 ** jnp.arange(frequencies)
  angle = position[:, None] * scale[None]
  return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)


def everywhere(features: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """[B, F] repeated over a grid: [B, *S, F]."""
  features = features.reshape((len(features), *[1] * len(shape), features.shape[-1]))
  return jnp.broadcast_to(features, (len(features), *shape, features.shape[-1]))
