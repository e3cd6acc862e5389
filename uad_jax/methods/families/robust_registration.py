"""Registration whose voxels count less the farther they stay from the template.

It begins with a displacement, found with all voxels or by a network, and repeats: the
weights of a Student t distribution with nu degrees of freedom from the residual,

  omega = (nu + 1) / (nu + z^2), at most 1,

z the smoothed residual in standard deviations (`gate.standardised_residual`, or what
the method has in its place), and the registration under these weights
(`registration.gauss_newton`). The gate is 1 - omega. Then, with weights of its own each
time, what was warped is registered again from rest, and the displacements are composed
(`gauss_newton.moved`).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Key, Outputs
from uad_jax.ops.losses import per_example
from uad_jax.registration import flow, gate, gauss_newton, solve_posterior
from uad_jax.registration.gauss_newton import Problem, Schedule
from uad_jax.registration.warp import warp, warped


class Settings(NamedTuple):
  """Settings of the reweighted registration.

  Attributes:
    stiffness: lambda, unless the batch has a 'strength'.
    reweightings: Number of times that the weights are computed; 0 keeps the start.
    freedom: nu.
    schedule: Iterations after each reweighting.
    draws: Number of draws of the displacement; their variance of the expected image is
      added to that of the scans. 0 counts the displacement as certain.
    compositions: Number of composed registrations after the reweighted ones.
  """

  stiffness: float
  reweightings: int
  freedom: float
  schedule: Schedule
  draws: int = 0
  compositions: int = 0

  @property
  def turns(self) -> int:
    """Number of times that the weights are computed."""
    return self.reweightings + self.compositions


class Fit(NamedTuple):
  """A displacement in two parts, the second of which was found last.

  Attributes:
    problem: The problem that was solved last.
    last: Its displacement [B, *S, d].
    before: The displacement that warped its expected image, [B, *S, d]; None for none.
  """

  problem: Problem
  last: Array
  before: Array | None = None

  def composed(self, last: Array) -> Array:
    """Returns the whole displacement for a `last` part."""
    return last if self.before is None else flow.compose(self.before, last)


def strength_of(batch: Batch, stiffness: float) -> Array:
  """Returns the stiffness of each scan of a batch, [B, 1, ..., 1]."""
  strength = batch.get('strength', jnp.full((len(batch['image']),), stiffness))
  return per_example(strength, batch['mask'])


def refine(
  settings: Settings,
  problem: Problem,
  start: Array,
  batch: Batch,
  key: Key,
  deviation: Callable[[Outputs], Array] | None = None,
  suspected: Array | float = 0.0,
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
    deviation: Computes z [B, *S, 1] from the outputs so far; None for
      `gate.standardised_residual`.
    suspected: Probability p [B, *S, 1] of a lesion by other evidence, 0 for none. The
      gate is then 1 - omega (1 - p).

  Returns:
    'displacement', 'gate', and without the factor of the brain mask 'reconstruction'
    with 'reconstruction_log_variance'; with draws also 'displacement_members' and
    'reconstruction_members'.
  """
  mask, whole = batch['mask'], problem
  deviation = deviation or _smoothed_residual(batch)
  fit = Fit(problem, start)
  outputs = _expected(settings, whole, fit, key)
  g = jnp.zeros_like(mask)
  for turn in range(0 if 'field' in batch else settings.turns):
    nu = settings.freedom
    z = deviation(outputs) * mask
    omega = jnp.minimum((nu + 1) / (nu + z**2), 1.0)
    g = batch.get('hidden', 1 - omega * (1 - suspected))
    if 'open' in batch:
      g = g * per_example(batch['open'], g)
    whole = whole._replace(
      weight=1 - g, stiffness=strength_of(batch, settings.stiffness)
    )
    if turn < settings.reweightings:
      fit = Fit(whole, gauss_newton.register(whole, fit.last, settings.schedule))
    else:
      before = outputs['displacement']
      rest = gauss_newton.moved(whole, before)
      fit = Fit(rest, gauss_newton.register(rest, schedule=settings.schedule), before)
    outputs = _expected(settings, whole, fit, key)
  return {'gate': g, **outputs}


def _smoothed_residual(batch: Batch) -> Callable[[Outputs], Array]:
  """The standardised residual of a batch, as a function of the outputs."""

  def deviation(outputs: Outputs) -> Array:
    expected, log_variance = (
      outputs[name] for name in ('reconstruction', 'reconstruction_log_variance')
    )
    return gate.standardised_residual(batch['image'], expected, log_variance, tau=0.0)

  return deviation


def _expected(settings: Settings, whole: Problem, fit: Fit, key: Key) -> Outputs:
  """The displacement, and the expected image with its variance and its draws."""
  log_variance, u = jnp.log(whole.variance), fit.composed(fit.last)
  expected, log_variance = warped(whole.expected, log_variance, u)
  outputs = {
    'displacement': u,
    'reconstruction': expected,
    'reconstruction_log_variance': log_variance,
  }
  if not settings.draws:
    return outputs
  lasts = solve_posterior.draws(
    fit.problem, fit.last, key, settings.draws, settings.schedule.solves
  )
  fields = jax.vmap(fit.composed, 1, 1)(lasts)
  members = jax.vmap(lambda field: warp(whole.expected, field), 1, 1)(fields)
  total = jnp.exp(log_variance) + members.var(1, ddof=min(settings.draws - 1, 1))
  return {
    **outputs,
    'reconstruction_log_variance': jnp.log(total),
    'displacement_members': fields,
    'reconstruction_members': members,
  }
