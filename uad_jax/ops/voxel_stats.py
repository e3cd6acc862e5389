"""Mean and variance of each voxel of the aligned healthy scans, by slice height."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.ops.filters import gaussian_smooth
from uad_jax.ops.losses import per_example

Array = jax.Array
Moments = dict[str, Array]
"""'count' [N]; 'sum' and 'square', weighted sums of x and x^2, [N, *S, C]."""


def tent(position: Array, bins: int) -> Array:
  """Weights [B, bins] of linear interpolation between evenly spaced slice heights."""
  knots = jnp.linspace(0.0, 1.0, bins)[None]
  return jnp.maximum(1 - jnp.abs(position[:, None] - knots) * max(bins - 1, 1), 0.0)


def empty(bins: int, shape: Sequence[int], channels: int) -> Moments:
  """Nothing seen yet; `bins` slice heights, 1 for volumes."""
  zeros = jnp.zeros((bins, *shape, channels))
  return {'count': jnp.zeros((bins,)), 'sum': zeros, 'square': zeros.copy()}


def observe(moments: Moments, value: Array, position: Array, weight: Array) -> Moments:
  """The moments with `value` [B, *S, C] added, by slice height and weight [B]."""
  share = tent(position, len(moments['count'])) * weight[:, None]
  return {
    'count': moments['count'] + share.sum(0),
    'sum': moments['sum'] + jnp.tensordot(share, value, ((0,), (0,))),
    'square': moments['square'] + jnp.tensordot(share, value**2, ((0,), (0,))),
  }


def look_up(
  moments: Moments, position: Array, smooth: float = 1.0
) -> tuple[Array, Array]:
  """Mean and variance [B, *S, C] at slice heights [B].

  Heights at which nothing was seen are left out of the interpolation.

  Args:
    moments: Of `observe`.
    position: [B].
    smooth: Gaussian over both moments, in voxels, for what alignment leaves over.
  """
  count = moments['count']
  each = 1 / per_example(jnp.maximum(count, 1e-6), moments['sum'])
  weight = tent(position, len(count)) * (count > 0)[None]
  weight = weight / jnp.maximum(weight.sum(1, keepdims=True), 1e-6)

  def at(total: Array) -> Array:
    return jnp.tensordot(weight, gaussian_smooth(total * each, smooth), 1)

  mean = at(moments['sum'])
  return mean, jnp.maximum(at(moments['square']) - mean**2, 0.0)
