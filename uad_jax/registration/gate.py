"""The gate g(x) in [0, 1]: where the image surprises, the field must not explain it.

Evidence that a voxel is not normal variability (`methods.families.gate_calibration`)
becomes a smooth, hinged gate, and the gate becomes the maps of a gated registration: a
stiffness lambda(x) which rises, a pull to rest mu(x), exactly 0 where the gate is
closed, and a data weight omega(x) which falls.

The sign matters: stiffness follows surprise relative to the healthy variance. Stiffness
that follows the variance itself freezes ventricles and frees lesions.

All maps are [B, *S, 1]. In training wrap the gate in `stop_gradient`, or the network
lowers its penalty by lowering its uncertainty.
"""

import jax
import jax.numpy as jnp

from uad_jax.ops.filters import dilate, gaussian_smooth


def standardised_residual(
  image: jax.Array,
  prior: jax.Array,
  log_variance: jax.Array,
  sigma: float = 1.0,
  tau: float = 0.02,
) -> jax.Array:
  """The surprise z = (G_sigma * |x - x_a|) / sqrt(s_ale^2 + tau^2), channels averaged.

  Args:
    image: [B, *S, C].
    prior: [B, *S, C], already aligned by a stiff field: gross misalignment is no
      surprise.
    log_variance: [B, *S, C], log s_ale^2 of the healthy residual *after* that
      alignment. The epistemic variance does not belong here, it would hide surprises.
    sigma: Smoothing in voxels.
    tau: Floor of the standard deviation, in image units.
  """
  residual = gaussian_smooth(jnp.abs(image - prior), sigma)
  return (residual / jnp.sqrt(jnp.exp(log_variance) + tau**2)).mean(-1, keepdims=True)


def gate(
  h: jax.Array, sigma: float = 1.5, floor: float = 0.35, hinge: bool = True
) -> jax.Array:
  """The gate g = clip((G_sigma * h - floor) / (1 - floor), 0, 1), 0 below the floor.

  Args:
    h: Evidence in [0, 1].
    sigma: Smoothing in voxels.
    floor: In [0, 1); what evidence has to exceed.
    hinge: False leaves G_sigma * h as it is, an ablation: the soft floor then
      restrains the field everywhere.
  """
  h = gaussian_smooth(h, sigma)
  return jnp.clip((h - floor) / (1 - floor), 0, 1) if hinge else h


def stiffness(
  g: jax.Array, base: float | jax.Array, ratio: float | jax.Array = 10.0
) -> jax.Array:
  """The map lambda = base ratio^g: from `base` (closed) to `base * ratio` (open)."""
  return base * ratio**g


def magnitude(g: jax.Array, peak: float | jax.Array) -> jax.Array:
  """The map mu = peak g, hinged by the gate: exactly 0 where it is closed."""
  return peak * g


def data_weight(
  g: jax.Array, rho: float | jax.Array = 1.0, radius: int = 0
) -> jax.Array:
  """The map omega = 1 - rho dilate(g).

  With a local correlation the radius must be that of its window, or the similarity
  sees the lesion from outside of the gate.
  """
  return 1 - rho * dilate(g, radius)
