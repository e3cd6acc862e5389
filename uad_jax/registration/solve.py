"""Functions that fill in a velocity field smoothly at voxels covered by lesions."""

import jax
import jax.numpy as jnp

from uad_jax.registration.regularise import difference, edge_mean


def gated_field(
  velocity: jax.Array,
  keep: jax.Array,
  stiffness: jax.Array | float,
  magnitude: jax.Array | float = 0.0,
  iterations: int = 200,
  tolerance: float = 1e-5,
) -> jax.Array:
  """Smooths a velocity field where it is not trusted, as at lesions.

  Where the trust c is low, values are replaced by a smooth continuation of the
  surrounding field. The result, the v that minimises
    sum_i c_i |v_i - v0_i|^2 + sum_ij lambda_ij |v_i - v_j|^2 + sum_i mu_i |v_i|^2,
  with lambda_ij = (lambda_i + lambda_j) / 2, solves the screened Poisson equation
  (diag(c + mu) + L_lambda) v = c v0, positive definite when c + mu > 0 somewhere. Where
  c = mu = 0 the result is the harmonic interpolation of the surroundings: a lesion
  moves along with them. It is solved for each image by conjugate gradients with a
  Jacobi preconditioner; derivatives are implicit (one more solve), whatever
  `iterations` is.

  Args:
    velocity: v0, [B, *S, d].
    keep: c, the trust in v0, [B, *S, 1], not negative, for instance
      `gate.data_weight(g, radius=...)`.
    stiffness: lambda, [B, *S, 1] or a scalar, positive.
    magnitude: mu, the pull to rest, [B, *S, 1] or a scalar, not negative.
    iterations: Largest number of steps of conjugate gradients.
    tolerance: Relative residual at which to stop.

  Returns:
    v [B, *S, d].

  Examples:
    >>> velocity = jnp.ones((1, 3, 3, 2)).at[0, 1, 1].set(9.0)
    >>> keep = jnp.ones((1, 3, 3, 1)).at[0, 1, 1].set(0.0)
    >>> field = gated_field(velocity, keep, stiffness=1.0)
    >>> [round(value, 3) for value in field[0, 1, 1].tolist()]
    [1.0, 1.0]
  """
  stiffness = jnp.broadcast_to(jnp.asarray(stiffness, velocity.dtype), keep.shape)
  magnitude = jnp.broadcast_to(jnp.asarray(magnitude, velocity.dtype), keep.shape)

  def solve(v0, c, lam, mu):
    diagonal = jax.lax.stop_gradient(c + mu + degree(lam))
    return jax.scipy.sparse.linalg.cg(
      lambda v: (c + mu) * v + laplacian(v, lam),
      c * v0,
      tol=tolerance,
      maxiter=iterations,
      M=lambda r: r / jnp.maximum(diagonal, 1e-12),
    )[0]

  def solve_example(*example):
    return solve(*(x[None] for x in example))[0]

  return jax.vmap(solve_example)(velocity, keep, stiffness, magnitude)


def laplacian(v: jax.Array, stiffness: jax.Array) -> jax.Array:
  """Applies the weighted graph Laplacian of the voxel grid to an array v.

  (L v)_i = sum over the neighbours j of voxel i of lambda_ij (v_i - v_j).

  lambda_ij is the mean of the stiffness at the voxels i and j.

  Args:
    v: [B, *S, C].
    stiffness: lambda, [B, *S, 1].

  Returns:
    [B, *S, C].

  Examples:
    >>> v = jnp.zeros((1, 3, 3, 1)).at[0, 1, 1].set(1.0)
    >>> laplacian(v, jnp.ones((1, 3, 3, 1)))[0, ..., 0].tolist()
    [[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]]
  """
  total = jnp.zeros_like(v)
  for axis in range(1, v.ndim - 1):
    flux = edge_mean(stiffness, axis) * difference(v, axis)
    total = total + to_ends(flux, axis, -1)
  return total


def degree(stiffness: jax.Array) -> jax.Array:
  """Computes the diagonal of the matrix of `laplacian`.

  It is the sum of lambda_ij over the neighbours j of each voxel i, [B, *S, 1].

  Examples:
    >>> degree(jnp.ones((1, 3, 3, 1)))[0, ..., 0].tolist()
    [[2.0, 3.0, 2.0], [3.0, 4.0, 3.0], [2.0, 3.0, 2.0]]
  """
  total = jnp.zeros_like(stiffness)
  for axis in range(1, stiffness.ndim - 1):
    total = total + to_ends(edge_mean(stiffness, axis), axis, 1)
  return total


def to_ends(edges: jax.Array, axis: int, sign: int) -> jax.Array:
  """Adds each edge's value to its upper end and, times `sign`, to its lower end.

  Args:
    edges: Values of the edges along an axis, one fewer than voxels.
    axis: The axis.
    sign: 1 or -1; with -1 it is the adjoint of `regularise.difference`.
  """
  upper, lower = [[(0, 0)] * edges.ndim for _ in range(2)]
  upper[axis], lower[axis] = (1, 0), (0, 1)
  return jnp.pad(edges, upper) + sign * jnp.pad(edges, lower)
