"""The problem of registering an expected image to a scan, and its linearisation.

At a displacement u the energy of `gauss_newton` is approximated by a quadratic form in
the step v, whose matrix is H + L_lambda + mu: H are the d x d matrices
omega grad m grad m^T / s^2 of the voxels, averaged over channels, L_lambda is the
weighted Laplacian of the grid.

Fields are planes here, [d, *S, 1], components first: their products are vectorised.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax.registration import flow
from uad_jax.registration.solve import laplacian
from uad_jax.registration.warp import warp

Array = jax.Array


class Problem(NamedTuple):
  """Scans and what they are registered to.

  Attributes:
    image: Scans x [B, *S, C].
    expected: Expected images m [B, *S, C].
    variance: Variances s^2 of the scans around m [B, *S, C], positive; they are warped
      with m.
    weight: omega [B, *S, 1], not negative; 0 hides a voxel of the scan.
    stiffness: lambda [B, *S, 1], [B, 1, ..., 1] or a scalar, positive.
    pull: mu, the pull to rest, as stiffness, not negative.
  """

  image: Array
  expected: Array
  variance: Array
  weight: Array
  stiffness: Array | float
  pull: Array | float = 0.0


class System(NamedTuple):
  """Linearisation of a problem, of one scan, at a displacement.

  Attributes:
    problem: The problem, all its maps on the grid.
    residual: x - m(p + u) [*S, C].
    share: omega / s^2 / C [*S, C], the weight of a squared residual.
    slopes: Derivatives of m along each axis, warped; d arrays [*S, C].
    hessian: H; entry [i][j], j at most i, is [*S, 1].
  """

  problem: Problem
  residual: Array
  share: Array
  slopes: list[Array]
  hessian: list[list[Array]]

  @property
  def trace(self) -> Array:
    """Trace of H [*S, 1]."""
    return sum(self.hessian[i][i] for i in range(len(self.slopes)))

  @property
  def force(self) -> Array:
    """Minus the derivative of the data term, planes [d, *S, 1]."""
    return self.pushed(self.share * self.residual)

  def pushed(self, values: Array) -> Array:
    """Computes sum_c grad m_c values_c, planes [d, *S, 1], of values [*S, C]."""
    return jnp.stack([(values * s).sum(-1, keepdims=True) for s in self.slopes])


def on_the_grid(problem: Problem) -> Problem:
  """Returns the problem with all its maps on the grid, [B, *S, 1]."""
  image = problem.image
  maps = [jnp.asarray(x, image.dtype) for x in problem[3:]]
  maps = [jnp.broadcast_to(x, (*image.shape[:-1], 1)) for x in maps]
  # Constant maps would be halved while compiling, which takes seconds for volumes.
  return Problem(*problem[:3], *jax.lax.optimization_barrier(maps))


def slopes_of(expected: Array) -> Array:
  """Computes derivatives of an image [*S, C] by axis, [*S, d C], axis by axis."""
  slope = jnp.moveaxis(flow.gradient(expected[None])[0], -1, -2)
  return slope.reshape(*expected.shape[:-1], -1)


def planes(field: Array) -> Array:
  """Returns a field [*S, d] with its components first, [d, *S, 1].

  Examples:
    >>> planes(jnp.zeros((4, 3, 2))).shape
    (2, 4, 3, 1)
  """
  return jnp.moveaxis(field, -1, 0)[..., None]


def linearise(problem: Problem, slopes: Array, displacement: Array) -> System:
  """Linearises the problem of one scan at a displacement; the variance is kept.

  Args:
    problem: Problem without a batch axis, from `on_the_grid`.
    slopes: `slopes_of` the expected image.
    displacement: u [*S, d].
  """
  channels, d = problem.image.shape[-1], displacement.shape[-1]
  stack = jnp.concatenate([problem.expected, problem.variance, slopes], -1)
  warped = warp(stack[None], displacement[None])[0]
  expected, variance, *slopes = jnp.split(warped, d + 2, -1)  # slopes d times [*S, C]
  residual = problem.image - expected
  share = problem.weight / variance / channels
  hessian = [
    [(share * slopes[i] * slopes[j]).sum(-1, keepdims=True) for j in range(i + 1)]
    for i in range(d)
  ]
  return System(problem, residual, share, slopes, hessian)


def solve(system: System, right: Array, iterations: int, damping: float) -> Array:
  """Solves (H + L_lambda + mu + damping trace(H)) v = right by conjugate gradients.

  Args:
    system: The linearisation.
    right: Planes [d, *S, 1].
    iterations: Their number, which is always done.
    damping: Share of the trace of H that is added to the diagonal.

  Returns:
    v, planes [d, *S, 1].
  """
  hessian, stiffness = system.hessian, system.problem.stiffness
  d = len(hessian)
  added = damping * system.trace + system.problem.pull

  def apply(v: Array) -> Array:
    rows = [
      sum(hessian[max(i, j)][min(i, j)] * v[j] for j in range(d)) for i in range(d)
    ]
    return jnp.stack(rows) + added[None] * v + laplacian(v, stiffness[None])

  diagonal = jnp.stack([hessian[i][i] + added + 2 * d * stiffness for i in range(d)])
  return jax.scipy.sparse.linalg.cg(
    apply, right, tol=0.0, maxiter=iterations, M=lambda r: r / diagonal
  )[0]
