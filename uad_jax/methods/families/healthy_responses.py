"""Healthy variance of the residual at several scales, and the residual in units of it.

The responses y_s of a residual at scales s (`ops.scale_space`) are observed on healthy
training scans, those of a registered scan after they were warped back to the template.
A response in its healthy deviations is

  y_s / sqrt(E[y_s^2] + floor^2 mean E[y_s^2]),

E[y_s^2] at the voxel, smoothed by a voxel, and its mean over the brain, which keeps
voxels at which few scans vary from standing out.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Stats
from uad_jax.ops import scale_space, voxel_stats
from uad_jax.registration.warp import warp


class Settings(NamedTuple):
  """Settings of the responses.

  Attributes:
    scales: Standard deviations of the Gaussian filters, in voxels.
    limit: Largest residual that counts, in healthy standard deviations.
    floor: Share of the typical deviation that is added to that of each voxel.
  """

  scales: tuple[float, ...]
  limit: float
  floor: float


class Healthy(NamedTuple):
  """Second moments of healthy responses.

  Attributes:
    at_voxel: E[y^2] of each voxel, [B, *S, C n].
    typical: Its mean over the brain, [1, ..., 1, C n].
  """

  at_voxel: Array
  typical: Array


def empty(
  settings: Settings, bins: int, shape: tuple[int, ...], channels: int
) -> Stats:
  """Creates the sums for responses of scans with `channels` contrasts."""
  n = channels * len(settings.scales)
  return {
    'responses': voxel_stats.empty(bins, shape, n),
    'brain': voxel_stats.empty(bins, shape, 1),
  }


def of_residual(
  settings: Settings, batch: Batch, expected: Array, log_variance: Array
) -> Array:
  """Computes the responses of the residual of scans, [B, *S, C n]."""
  z = (batch['image'] - expected) * jnp.exp(-0.5 * log_variance) * batch['mask']
  return scale_space.responses(z, settings.scales, settings.limit)


def observe(
  kept: Stats, responses: Array, batch: Batch, back: Array | None = None
) -> Stats:
  """Adds the responses of healthy scans.

  Args:
    kept: The sums so far.
    responses: Responses [B, *S, C n].
    batch: Batch of the scans.
    back: Displacement that warps them to the template [B, *S, d]; None for none.
  """
  values = {'responses': responses, 'brain': batch['mask']}
  if back is not None:
    values = {name: warp(value, back) for name, value in values.items()}
  return {
    name: voxel_stats.observe(kept[name], value, batch['position'], batch['weight'])
    for name, value in values.items()
  }


def look_up(kept: Stats, position: Array) -> Healthy:
  """Computes the second moments for scans at slice heights `position` [B]."""
  mean, variance = voxel_stats.look_up(kept['responses'], position)
  square = kept['responses']['square']
  axes = tuple(range(square.ndim - 1))
  brain = jnp.maximum(kept['brain']['sum'].sum(), 1e-6)
  return Healthy(mean**2 + variance, square.sum(axes, keepdims=True) / brain)


def standardised(
  settings: Settings,
  responses: Array,
  healthy: Healthy,
  displacement: Array | None = None,
) -> Array:
  """Divides responses by their healthy deviations.

  Args:
    settings: The settings.
    responses: Responses of scans, [B, *S, C n].
    healthy: Second moments, of the template where there is a displacement.
    displacement: Displacement [B, *S, d] that warps the template to the scans.
  """
  variance = healthy.at_voxel
  if displacement is not None:
    variance = warp(variance, displacement)
  typical = settings.floor**2 * healthy.typical
  return responses * jax.lax.rsqrt(variance + typical + 1e-6)
