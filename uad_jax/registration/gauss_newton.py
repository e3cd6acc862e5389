"""Test-time registration: the displacement that best explains a scan by an image.

No network takes part. The energy of a displacement u is that of a scan x with an
expected image m of variance s^2,

  E(u) = 1/2 sum_p omega(p) mean_c (x(p) - m(p + u(p)))^2 / s^2(p + u(p))
         + 1/2 sum_(p, q) lambda_pq |u(p) - u(q)|^2 + 1/2 sum_p mu(p) |u(p)|^2,

summed over voxels p and pairs of neighbours; lambda_pq is the mean stiffness of both.
Gauss-Newton steps lower it, from coarse grids to fine ones. Each step linearises m and
keeps the variance, and solves (H + L_lambda + mu) step = -gradient by conjugate
gradients, H being the d x d matrices omega grad m grad m^T / s^2 of the voxels.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax.registration import flow
from uad_jax.registration.linear_system import (
  Problem,
  linearise,
  on_the_grid,
  planes,
  slopes_of,
  solve,
)
from uad_jax.registration.solve import laplacian
from uad_jax.registration.warp import warp, warped

Array = jax.Array


class Schedule(NamedTuple):
  """Numbers of iterations of a registration; all are fixed, so that it can be jitted.

  Attributes:
    steps: Gauss-Newton steps at each resolution, from the coarsest to the finest; each
      resolution halves the one after it.
    solves: Iterations of conjugate gradients in each step.
    damping: Share of the trace of H that is added to its diagonal (Levenberg), so that
      a step stays where the linearisation holds.
    finest: The finest grid is the scan's, divided by this power of two.
  """

  steps: tuple[int, ...] = (8, 6, 4)
  solves: int = 12
  damping: float = 0.1
  finest: int = 1


DEFAULT = Schedule()


def register(
  problem: Problem, start: Array | None = None, schedule: Schedule = DEFAULT
) -> Array:
  """Finds the displacement that warps expected images onto scans.

  Args:
    problem: Scans, expected images and weights.
    start: Displacement to start from, [B, *S, d]; None starts at rest.
    schedule: Numbers of iterations.

  Returns:
    u [B, *S, d] in voxels, such that x is about `warp(m, u)`.

  Examples:
    >>> grid = jnp.linspace(-2, 2, 16)
    >>> bump = lambda c: jnp.exp(-((grid[:, None] - c) ** 2) - grid[None] ** 2)
    >>> image, expected = (bump(c)[None, ..., None] for c in (0.0, 0.5))
    >>> ones = jnp.ones((1, 16, 16, 1))
    >>> problem = Problem(image, expected, 1e-4 * ones, ones, 1.0)
    >>> u = jax.jit(lambda problem: register(problem, schedule=Schedule((4,))))(problem)
    >>> errors = [jnp.abs(image - x).max() for x in (expected, warp(expected, u))]
    >>> [round(float(error), 1) for error in errors]
    [0.4, 0.1]
  """
  image = problem.image
  if start is None:
    start = jnp.zeros((*image.shape[:-1], image.ndim - 2), image.dtype)
  whole = on_the_grid(problem)
  return jax.vmap(lambda p, u: _coarse_to_fine(p, u, schedule))(whole, start)


def moved(problem: Problem, displacement: Array) -> Problem:
  """Warps the expected images of a problem, with their variances.

  To register what a displacement has warped already, from rest, and to compose both
  lets a field grow large where a single one would be too stiff, without folds: the
  stiffness then holds for each part (regridding, Christensen et al. 1996, "Deformable
  templates using large deformation kinematics").

  Args:
    problem: Scans and expected images.
    displacement: u [B, *S, d] in voxels.

  Returns:
    The problem with m(p + u) and s^2(p + u). If v solves it,
    `flow.compose(displacement, v)` registers the problem.

  Examples:
    >>> ones, u = jnp.ones((1, 4, 4, 1)), jnp.full((1, 4, 4, 2), 1.0)
    >>> ramp = jnp.arange(4.0)[None, :, None, None] * ones
    >>> problem = moved(Problem(ramp, ramp, ones, ones, stiffness=1.0), u)
    >>> problem.expected[0, :, 0, 0].tolist()
    [1.0, 2.0, 3.0, 3.0]
  """
  expected, variance = warped(problem.expected, problem.variance, displacement)
  return problem._replace(expected=expected, variance=variance)


def register_composed(
  problem: Problem, first: Schedule, further: Schedule, compositions: int
) -> Array:
  """Registers, and registers what was warped again, `compositions` times.

  Args:
    problem: Scans, expected images and weights.
    first: Iterations of the first registration.
    further: Iterations of each composed one, see `moved`.
    compositions: Their number; 0 is `register`.

  Returns:
    u [B, *S, d] in voxels, of all parts composed.

  Examples:
    >>> ones = jnp.ones((1, 4, 4, 1))
    >>> problem = Problem(ones, ones, ones, ones, stiffness=1.0)
    >>> short = Schedule((1,), solves=2)
    >>> float(abs(register_composed(problem, short, short, 1)).max())
    0.0
  """
  u = register(problem, schedule=first)
  for _ in range(compositions):
    u = flow.compose(u, register(moved(problem, u), schedule=further))
  return u


def energy(problem: Problem, displacement: Array) -> tuple[Array, Array]:
  """Computes the energy of displacements, of the data and of the deformation.

  Args:
    problem: Scans, expected images and weights.
    displacement: u [B, *S, d] in voxels.

  Returns:
    1/2 sum omega mean (x - m)^2 / s^2 and 1/2 sum lambda |u - u'|^2 + mu |u|^2, each
    [B].

  Examples:
    >>> ones, rest = jnp.ones((1, 4, 4, 1)), jnp.zeros((1, 4, 4, 2))
    >>> problem = Problem(ones, 0 * ones, variance=ones, weight=ones, stiffness=1.0)
    >>> [part.tolist() for part in energy(problem, rest)]
    [[8.0], [0.0]]
  """

  def of_example(problem: Problem, u: Array) -> tuple[Array, Array]:
    warped = warp(jnp.concatenate(problem[1:3], -1)[None], u[None])[0]
    expected, variance = jnp.split(warped, 2, -1)
    square = (problem.image - expected) ** 2 / variance
    data = (problem.weight[..., 0] * square.mean(-1)).sum()
    field = planes(u)
    # sum_p u (L u) is the sum over pairs of lambda |u - u'|^2.
    return 0.5 * data, 0.5 * (field * _regularisation(problem, field)).sum()

  return jax.vmap(of_example)(on_the_grid(problem), displacement)


def _coarse_to_fine(problem: Problem, start: Array, schedule: Schedule) -> Array:
  """Registers one scan, a problem without a batch axis, from coarse to fine grids."""
  shape = start.shape[:-1]
  pyramid = [problem]
  for _ in range(len(schedule.steps) - 1 + schedule.finest.bit_length() - 1):
    halves = Problem(*(_halved(x) for x in pyramid[-1]))
    # A box with a hidden voxel is hidden: its mean intensity is the lesion's too.
    pyramid.append(halves._replace(weight=_halved(pyramid[-1].weight, jnp.min)))
  pyramid = pyramid[schedule.finest.bit_length() - 1 :]
  displacement = start
  for level, steps in zip(reversed(pyramid), schedule.steps, strict=True):
    displacement = _resized(displacement, level.image.shape[:-1])
    slopes = slopes_of(level.expected)

    def improve(_, u, level=level, slopes=slopes):
      return u + _step(level, slopes, u, schedule)

    displacement = jax.lax.fori_loop(0, steps, improve, displacement)
  return _resized(displacement, shape)


def _step(
  problem: Problem, slopes: Array, displacement: Array, schedule: Schedule
) -> Array:
  """One Gauss-Newton step [*S, d]; `slopes` are those of the expected image."""
  system = linearise(problem, slopes, displacement)
  right = system.force - _regularisation(problem, planes(displacement))
  step = solve(system, right, schedule.solves, schedule.damping)
  return jnp.moveaxis(step[..., 0], 0, -1)


def _regularisation(problem: Problem, field: Array) -> Array:
  """Derivative of the regularisation of a field in planes [d, *S, 1]."""
  return laplacian(field, problem.stiffness[None]) + problem.pull[None] * field


def _halved(x: Array, reduce=jnp.mean) -> Array:
  """Means of boxes of two voxels along each axis; an odd last voxel is repeated."""
  for axis in range(x.ndim - 1):
    if x.shape[axis] % 2:
      last = jax.lax.slice_in_dim(x, x.shape[axis] - 1, None, axis=axis)
      x = jnp.concatenate([x, last], axis)
    x = reduce(x.reshape(*x.shape[:axis], -1, 2, *x.shape[axis + 1 :]), axis + 1)
  return x


def _resized(field: Array, shape: tuple[int, ...]) -> Array:
  """A displacement field on another grid, in its voxels."""
  if field.shape[:-1] == tuple(shape):
    return field
  return flow.resize(field[None], shape)[0]
