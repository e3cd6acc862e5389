"""Registration whose voxels count less the farther they stay from the template.

It begins with a displacement, found with all voxels or by a network, and repeats: the
weights of a Student t distribution with nu degrees of freedom from the residual,

  omega = (nu + 1) / (nu + z^2), at most 1,

z the smoothed residual in standard deviations (`gate.standardised_residual`), and the
registration under these weights (`registration.gauss_newton`). The gate is 1 - omega.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Key, Outputs
from uad_jax.methods.families.voxel_moments import warped
from uad_jax.ops.losses import per_example
from uad_jax.registration import gate, gauss_newton, solve_posterior
from uad_jax.registration.gauss_newton import Problem, Schedule
from uad_jax.registration.warp import warp


class Settings(NamedTuple):
  """Settings of the reweighted registration.

  Attributes:
    stiffness: lambda, unless the batch has a 'strength'.
    reweightings: Number of times that the weights are computed; 0 keeps the start.
    freedom: nu.
    schedule: Iterations after each reweighting.
    draws: Number of draws of the displacement; their variance of the expected image is
      added to that of the scans. 0 counts the displacement as certain.
  """

  stiffness: float
  reweightings: int
  freedom: float
  schedule: Schedule
  draws: int = 0


def strength_of(batch: Batch, stiffness: float) -> Array:
  """Returns the stiffness of each scan of a batch, [B, 1, ..., 1]."""
  strength = batch.get('strength', jnp.full((len(batch['image']),), stiffness))
  return per_example(strength, batch['mask'])


def refine(
  settings: Settings, problem: Problem, start: Array, batch: Batch, key: Key
) -> Outputs:
  """Refines a displacement by weights that its own residual gives.

  A batch may hold 'strength' [B], which replaces the stiffness, 'open' [B], which
  scales the gate (0: all voxels count), 'hidden' [B, *S, 1] in [0, 1], which replaces
  the gate, and 'field' [B, *S, d], which is the displacement and is not refined.

  Args:
    settings: The settings.
    problem: Scans and expected images. Its weight and stiffness are those of the start;
      draws around a start that is not refined use them.
    start: Displacement to start from [B, *S, d].
    batch: Batch of the scans.
    key: Random key of the draws.

  Returns:
    'displacement', 'gate', and without the factor of the brain mask 'reconstruction'
    with 'reconstruction_log_variance'; with draws also 'displacement_members' and
    'reconstruction_members'.
  """
  mask, u = batch['mask'], start
  outputs = _expected(settings, problem, u, key)
  g = jnp.zeros_like(mask)
  for _ in range(0 if 'field' in batch else settings.reweightings):
    z = gate.standardised_residual(
      batch['image'],
      outputs['reconstruction'],
      outputs['reconstruction_log_variance'],
      tau=0.0,
    )
    nu = settings.freedom
    omega = jnp.minimum((nu + 1) / (nu + (z * mask) ** 2), 1.0)
    g = batch.get('hidden', 1 - omega)
    if 'open' in batch:
      g = g * per_example(batch['open'], g)
    problem = problem._replace(
      weight=1 - g, stiffness=strength_of(batch, settings.stiffness)
    )
    u = gauss_newton.register(problem, u, settings.schedule)
    outputs = _expected(settings, problem, u, key)
  return {'displacement': u, 'gate': g, **outputs}


def _expected(settings: Settings, problem: Problem, u: Array, key: Key) -> Outputs:
  """The expected image after the warp by u, with its variance and its draws."""
  log_variance = jnp.log(problem.variance)
  expected, log_variance = warped(problem.expected, log_variance, u)
  outputs = {'reconstruction': expected, 'reconstruction_log_variance': log_variance}
  if not settings.draws:
    return outputs
  fields = solve_posterior.draws(
    problem, u, key, settings.draws, settings.schedule.solves
  )
  members = jax.vmap(lambda field: warp(problem.expected, field), 1, 1)(fields)
  total = jnp.exp(log_variance) + members.var(1, ddof=min(settings.draws - 1, 1))
  return {
    'reconstruction': expected,
    'reconstruction_log_variance': jnp.log(total),
    'displacement_members': fields,
    'reconstruction_members': members,
  }
