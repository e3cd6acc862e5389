"""Uncertainty of a registration: draws from the Laplace approximation of its posterior.

The energy of `gauss_newton` is minus the logarithm of a density of displacements, given
the scan. Around its minimum u it is about normal, with the precision
P = H + L_lambda + mu of `linear_system`. The residuals count as independent between
voxels, so that the density is narrower than it should be where they are not: compare
it with errors before using its scale.
"""

import jax
import jax.numpy as jnp

from uad_jax.registration.linear_system import (
  Problem,
  System,
  linearise,
  on_the_grid,
  slopes_of,
  solve,
)
from uad_jax.registration.regularise import edge_mean
from uad_jax.registration.solve import to_ends

Array = jax.Array


def draws(
  problem: Problem, displacement: Array, key: Array, number: int, solves: int = 12
) -> Array:
  """Draws displacements from a normal distribution around the solution.

  A draw is u + P^-1 b, b of covariance P: the right side of the solve with each of its
  squares perturbed by its own noise (Papandreou and Yuille 2010, "Gaussian sampling by
  local perturbations"). Few iterations leave the long waves a little too small (12 of
  40: by 2 %).

  Args:
    problem: Scans, expected images and weights.
    displacement: u [B, *S, d] in voxels, from `gauss_newton.register`.
    key: Random key.
    number: Number N of draws.
    solves: Iterations of conjugate gradients for each.

  Returns:
    [B, N, *S, d] in voxels.

  Examples:
    >>> ones, u = jnp.ones((1, 4, 4, 1)), jnp.zeros((1, 4, 4, 2))
    >>> problem = Problem(ones, ones, ones, ones, stiffness=1.0, pull=1.0)
    >>> jax.jit(draws, static_argnums=3)(problem, u, jax.random.key(0), 3).shape
    (1, 3, 4, 4, 2)
  """
  keys = jax.random.split(key, (len(displacement), number))

  def of_example(problem: Problem, u: Array, keys: Array) -> Array:
    system = linearise(problem, slopes_of(problem.expected), u)

    def draw(key: Array) -> Array:
      step = solve(system, _perturbation(system, key), solves, damping=0.0)
      return u + jnp.moveaxis(step[..., 0], 0, -1)

    return jax.lax.map(draw, keys)

  return jax.vmap(of_example)(on_the_grid(problem), displacement, keys)


def _perturbation(system: System, key: Array) -> Array:
  """Noise of covariance P, planes [d, *S, 1]."""
  problem, d = system.problem, len(system.slopes)
  of_data, of_pull, *of_axes = jax.random.split(key, d + 2)
  shape = (d, *problem.stiffness.shape)
  noise = jax.random.normal(of_data, system.residual.shape)
  total = system.pushed(jnp.sqrt(system.share) * noise)
  total += jnp.sqrt(problem.pull)[None] * jax.random.normal(of_pull, shape)
  for axis, of_axis in enumerate(of_axes, 1):
    edges = jnp.sqrt(edge_mean(problem.stiffness[None], axis))
    noise = jax.random.normal(of_axis, (d, *edges.shape[1:]))
    total += to_ends(edges * noise, axis, -1)
  return total
