"""Inner maximisation of distributionally robust training (WRM), and its certificate.

Sinha, Namkoong, Duchi, "Certifying some distributional robustness with principled
adversarial training", ICLR 2018. For a loss l(z) and a transport cost c,
phi(z0) = sup_z l(z) - gamma c(z - z0), and for every distribution P within the distance
rho of the data (mean cost of the cheapest transport),
E_P l <= gamma rho + mean phi.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax.ops.losses import example_sum, per_example

Array = jax.Array

REFERENCE = 100
"""Steps of the longer maximisation that the inner gap is measured with."""


class Cost(NamedTuple):
  """Transport cost c(u) of a change u, with c(u) = u' A u to second order at 0.

  Attributes:
    value: (change) -> c, a scalar.
    solve: (gradient) -> A^-1 gradient, or an approximation; 0 where no change is
      allowed.
  """

  value: Callable[[Array], Array]
  solve: Callable[[Array], Array]


def voxel_shares(mask: Array, weight: Array, by_scan: bool = False) -> Array:
  """Computes the share of each voxel in a mean over the brain voxels of a batch.

  The shares add up to 1. With n_i brain voxels of scan i and its weight w_i, the share
  of a voxel is w_i / sum_j w_j n_j, as in a mean over all brain voxels of the batch; or
  w_i / (n_i sum_j w_j), as in a mean over scans of means over brain voxels.

  Args:
    mask: Brain masks [B, *S, 1], 0 or 1.
    weight: [B], 0 for padding.
    by_scan: Second form: every scan counts the same, whatever the size of its brain.

  Returns:
    [B, *S, 1].

  Examples:
    >>> mask = jnp.array([[1.0, 1, 1], [1, 0, 0]])[..., None]
    >>> voxel_shares(mask, jnp.ones(2))[..., 0].tolist()
    [[0.25, 0.25, 0.25], [0.25, 0.0, 0.0]]
    >>> voxel_shares(mask, jnp.array([0.0, 1.0]), by_scan=True)[..., 0].tolist()
    [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
  """
  voxels = example_sum(mask)
  total = weight.sum() if by_scan else (weight * voxels).sum()
  counts = jnp.maximum(voxels, 1.0) if by_scan else jnp.ones_like(voxels)
  return mask * per_example(weight / counts / jnp.maximum(total, 1e-6), mask)


def mean_square(shares: Array, channels: int) -> Cost:
  """Builds the cost of a change of the image: its mean square over the brain voxels.

  c(u) = sum of a u^2 over voxels and channels, a = share / channels. Voxels of share 0
  (background, padding) cannot be changed.

  Args:
    shares: Share of each voxel [B, *S, 1], from `voxel_shares`.
    channels: Number of contrasts, over which the square is averaged too.
  """
  weight = shares / channels
  inverse = jnp.where(weight > 0, 1.0 / jnp.where(weight > 0, weight, 1.0), 0.0)
  return Cost(lambda u: (weight * u**2).sum(), lambda gradient: inverse * gradient)


def damped_solve(matrices: Array, gradient: Array, damping: float) -> Array:
  """Solves (A_i + damping a_i I) u_i = g_i for each scan, a_i the mean diagonal of A_i.

  A scan with A = 0 (padding, no brain) gets u = 0.

  Args:
    matrices: A [B, K, K], each symmetric and positive semidefinite.
    gradient: g [B, K].
    damping: Above 0; bounds the steps in directions that hardly have a cost.

  Returns:
    u [B, K].

  Examples:
    >>> matrices = jnp.stack([jnp.eye(2), jnp.zeros((2, 2))])
    >>> damped_solve(matrices, jnp.ones((2, 2)), 1.0).tolist()
    [[0.5, 0.5], [0.0, 0.0]]
  """
  size = matrices.shape[-1]
  scale = jnp.trace(matrices, axis1=1, axis2=2)[:, None, None] / size
  inverse = jnp.where(scale > 0, 1.0 / jnp.where(scale > 0, scale, 1.0), 0.0)
  # Scaled to a diagonal of about 1, and the identity for a scan without brain.
  regular = matrices * inverse + damping * jnp.eye(size)[None]
  return jnp.linalg.solve(regular, gradient[..., None] * inverse)[..., 0]


def maximise(
  loss: Callable[[Array], Array],
  start: Array,
  cost: Cost,
  gamma: float,
  steps: int = 15,
) -> Array:
  """Maximises loss(z) - gamma c(z - z0) over z approximately, by T + 1 gradient steps.

  With eps = 1 / (2 gamma), for t = -1 .. T - 1
  z <- z + A^-1 (eps d loss / d z - 1/2 d c / d z) / sqrt(t + 2). For a quadratic cost
  this is the published z <- z + (eps g - (z - z0)) / sqrt(t + 2), with the gradient g
  in the metric of the cost, and a linear loss is maximised exactly, by the first step.
  The problem is strongly concave, and the maximiser unique, where 2 gamma exceeds the
  Lipschitz constant of g.

  A is the metric of a mean over a batch. A loss that is the same mean over the batch
  has a gradient as small as A, so that the change of a scan does not depend on the
  other scans of its batch, nor on their number. A loss with a stop-gradient inside,
  such as the beta-NLL of `vae`, is followed along its gradient, which is not exactly
  that of its value.

  Args:
    loss: Function (z) -> scalar.
    start: z0, an array.
    cost: Transport cost c.
    gamma: Penalty of the cost, above 0.
    steps: T, 0 or more; T + 1 steps are made.

  Returns:
    z, an array like the start, behind a stop-gradient (Danskin's theorem: the gradient
    of phi with respect to the parameters is that of the loss at the fixed maximiser).

  Examples:
    >>> cost = mean_square(jnp.full((1, 2, 1), 0.5), 1)
    >>> maximise(jnp.mean, jnp.zeros((1, 2, 1)), cost, gamma=1.0).ravel().tolist()
    [0.5, 0.5]
  """
  rate = 1.0 / (2.0 * gamma)

  def gain(z):
    return rate * loss(z) - 0.5 * cost.value(z - start)

  def step(z, size):
    return z + size * cost.solve(jax.grad(gain)(z)), None

  z, _ = jax.lax.scan(step, start, 1.0 / jnp.sqrt(jnp.arange(steps + 1) + 1.0))
  return jax.lax.stop_gradient(z)


class Certificate(NamedTuple):
  """Upper bounds of the mean loss under shifts of the data, with their measured gap.

  Attributes:
    radii: rho, mean cost of the shift [R].
    bounds: gamma rho + mean phi [R].
    clean: Mean loss of the data themselves.
    phi: Mean of phi, from the better of the two maximisations.
    rho_hat: Mean cost of the maximisers: the radius at which the bound is tight.
    inner_gap: Mean of phi after `REFERENCE` steps minus that after T steps. The bound
      holds as far as the inner problem is solved; a large gap says that it is not.
  """

  radii: Array
  bounds: Array
  clean: Array
  phi: Array
  rho_hat: Array
  inner_gap: Array


def certificate(
  loss: Callable[[Array], Array],
  start: Array,
  cost: Cost,
  gamma: float,
  radii: Sequence[float],
  steps: int = 15,
) -> Certificate:
  """Computes the certificate curve gamma rho + mean phi over radii rho, on one batch.

  Sinha et al. 2018, eq. 12 without the statistical term. Averages over batches are
  averages of the fields, with the batches' weights.

  Args:
    loss: Function (z) -> mean loss of the batch, with the mean of the cost.
    start: z0, an array.
    cost: Transport cost c.
    gamma: Penalty of the cost, above 0.
    radii: Values of rho, 0 or more, in the unit of the cost.
    steps: T of the training.
  """

  def solved(count):
    z = maximise(loss, start, cost, gamma, count)
    distance = cost.value(z - start)
    return loss(z) - gamma * distance, distance

  (phi, distance), (reference, reference_distance) = solved(steps), solved(REFERENCE)
  best = jnp.maximum(phi, reference)
  rho = jnp.asarray(radii, jnp.float32)
  return Certificate(
    radii=rho,
    bounds=gamma * rho + best,
    clean=loss(start),
    phi=best,
    rho_hat=jnp.where(reference > phi, reference_distance, distance),
    inner_gap=reference - phi,
  )
