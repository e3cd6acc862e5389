"""Gated fields at test time: a lesion's field from its healthy surroundings."""

import jax
import jax.numpy as jnp
import optax

from uad_jax.registration import flow, similarity
from uad_jax.registration.regularise import (
  difference,
  edge_mean,
  gradient_energy,
  magnitude_energy,
)
from uad_jax.registration.warp import warp


def gated_field(
  velocity: jax.Array,
  keep: jax.Array,
  stiffness: jax.Array | float,
  magnitude: jax.Array | float = 0.0,
  iterations: int = 200,
  tolerance: float = 1e-5,
) -> jax.Array:
  """The field that keeps `velocity` where trusted and fills in smoothly elsewhere.

  The minimum over v of
    sum_i c_i |v_i - v0_i|^2 + sum_ij lambda_ij |v_i - v_j|^2 + sum_i mu_i |v_i|^2,
  with lambda_ij = (lambda_i + lambda_j) / 2, solves the screened Poisson equation
  (diag(c + mu) + L_lambda) v = c v0, positive definite when c + mu > 0 somewhere.
  Where c = mu = 0 the result is the harmonic in-fill of the surroundings: a lesion is
  carried along. Solved for each image by conjugate gradients with a Jacobi
  preconditioner; derivatives are implicit (one more solve), whatever `iterations` is.

  Args:
    velocity: v0, [B, *S, d].
    keep: c, [B, *S, 1], not negative: `gate.data_weight(g, radius=...)`.
    stiffness: lambda, [B, *S, 1] or one number, positive.
    magnitude: mu, [B, *S, 1] or one number, not negative.
    iterations: At most so many steps of conjugate gradients.
    tolerance: Relative residual at which to stop.
  """
  stiffness = jnp.broadcast_to(jnp.asarray(stiffness, velocity.dtype), keep.shape)
  magnitude = jnp.broadcast_to(jnp.asarray(magnitude, velocity.dtype), keep.shape)

  def solve(v0, c, lam, mu):
    diagonal = jax.lax.stop_gradient(c + mu + _degree(lam))
    return jax.scipy.sparse.linalg.cg(
      lambda v: (c + mu) * v + laplacian(v, lam),
      c * v0,
      tol=tolerance,
      maxiter=iterations,
      M=lambda r: r / jnp.maximum(diagonal, 1e-12),
    )[0]

  def each(*image):
    return solve(*(x[None] for x in image))[0]

  return jax.vmap(each)(velocity, keep, stiffness, magnitude)


def registered_field(
  fixed: jax.Array,
  moving: jax.Array,
  velocity: jax.Array,
  weight: jax.Array,
  stiffness: jax.Array,
  magnitude: jax.Array,
  steps: int = 30,
  learning_rate: float = 0.1,
  window: int = 9,
  squarings: int = 7,
) -> jax.Array:
  """The gated registration itself, from `velocity` on, by Adam (Kingma and Ba 2015).

  It descends, for each image,
    sum w (1 - cc_w(fixed, moving o exp(v))) / sum w + mean lambda |grad v|^2
    + mean mu |v|^2,
  the energies as in `regularise`.

  Args:
    fixed: [B, *S, C].
    moving: [B, *S, C], the prior.
    velocity: Where to begin, [B, *S, d].
    weight: The data weight omega, [B, *S, 1].
    stiffness: lambda, [B, *S, 1].
    magnitude: mu, [B, *S, 1].
    steps: Number of updates.
    learning_rate: In voxels an update.
    window: Edge length of the correlation's box, in voxels.
    squarings: Of the integration.
  """

  def energy(v):
    warped = warp(moving, flow.integrate(v, squarings))
    each = similarity.ncc_loss(fixed, warped, weight, window)
    each = each + gradient_energy(v, stiffness) + magnitude_energy(v, magnitude)
    return each.sum()

  adam = optax.adam(learning_rate)

  def descend(carry, _):
    v, state = carry
    updates, state = adam.update(jax.grad(energy)(v), state)
    return (optax.apply_updates(v, updates), state), None

  start = velocity, adam.init(velocity)
  return jax.lax.scan(descend, start, length=steps)[0][0]


def laplacian(v: jax.Array, stiffness: jax.Array) -> jax.Array:
  """L_lambda v = sum over neighbours j of lambda_ij (v_i - v_j), [B, *S, C]."""
  total = jnp.zeros_like(v)
  for axis in range(1, v.ndim - 1):
    flux = edge_mean(stiffness, axis) * difference(v, axis)
    total = total + _to_ends(flux, axis, -1)
  return total


def _degree(stiffness: jax.Array) -> jax.Array:
  """The diagonal of L_lambda."""
  total = jnp.zeros_like(stiffness)
  for axis in range(1, stiffness.ndim - 1):
    total = total + _to_ends(edge_mean(stiffness, axis), axis, 1)
  return total


def _to_ends(edges: jax.Array, axis: int, sign: int) -> jax.Array:
  """Each edge's value added to its upper end and, times `sign`, to its lower end."""
  upper, lower = [[(0, 0)] * edges.ndim for _ in range(2)]
  upper[axis], lower[axis] = (1, 0), (0, 1)
  return jnp.pad(edges, upper) + sign * jnp.pad(edges, lower)
