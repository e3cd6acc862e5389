"""Functions that compute the gate, a lesion map that controls a registration.

The gate keeps a registration from deforming an image to match lesions. A score of how
abnormal a voxel is (`methods.families.gate_calibration`) becomes a smooth gate g(x): 0,
closed, where the image is normal; 1, open, where the field must not deform the prior
image (the healthy image that a model predicts) to match it. The gate sets the maps of a
gated registration: a stiffness lambda(x) that rises with g, a pull mu(x) to rest (zero
velocity) that is exactly 0 where the gate is closed, and a data weight omega(x) that
falls with g.

The sign matters: stiffness follows the residual relative to the healthy variance.
Stiffness that follows the variance itself freezes ventricles and frees lesions.

All maps are [B, *S, 1]. In training wrap the gate in `stop_gradient`, or the network
lowers its penalty by lowering its uncertainty.
"""

import jax
import jax.numpy as jnp

from uad_jax.ops.filters import dilate, gaussian_smooth
from uad_jax.ops.residual_sign import SIGNS


def standardised_residual(
  image: jax.Array,
  prior: jax.Array,
  log_variance: jax.Array,
  sigma: float = 1.0,
  tau: float = 0.02,
  sign: str = 'absolute',
) -> jax.Array:
  """Divides the residual of scan and prior image by its healthy standard deviation.

  Healthy standard deviation means that of the residual in healthy scans:
  z = (G_sigma * |x - x_a|) / sqrt(s_ale^2 + tau^2), G_sigma being a Gaussian filter;
  z is averaged over channels. For the sign 'bright', x - x_a replaces |x - x_a|; for
  'dark', x_a - x replaces it.

  Args:
    image: Scan x [B, *S, C].
    prior: Prior image x_a [B, *S, C], already aligned to the scan by a stiff field, so
      that gross misalignment does not count.
    log_variance: log s_ale^2 [B, *S, C] of the healthy residual *after* that alignment
      (aleatoric). The epistemic variance does not belong here: it would hide lesions.
    sigma: Standard deviation of the Gaussian in voxels.
    tau: Smallest standard deviation of the residual, in image units.
    sign: Key of `ops.residual_sign.SIGNS`: 'absolute', 'bright' or 'dark'.

  Returns:
    z [B, *S, 1].

  Examples:
    >>> image, zeros = jnp.full((1, 3, 3, 1), 3.0), jnp.zeros((1, 3, 3, 1))
    >>> z = standardised_residual(image, zeros, log_variance=zeros, tau=0.0)
    >>> z.shape, round(float(z[0, 1, 1, 0]), 4)
    ((1, 3, 3, 1), 3.0)
  """
  residual = gaussian_smooth(SIGNS[sign](image - prior), sigma)
  return (residual / jnp.sqrt(jnp.exp(log_variance) + tau**2)).mean(-1, keepdims=True)


def gate(
  h: jax.Array, sigma: float = 1.5, floor: float = 0.35, hinge: bool = True
) -> jax.Array:
  """Computes the gate by smoothing a map of abnormality and removing small values.

  The map h is the probability that a voxel is abnormal:
  g = clip((G_sigma * h - floor) / (1 - floor), 0, 1), G_sigma being a Gaussian filter.

  Args:
    h: Probability or score in [0, 1] that a voxel is abnormal, [B, *S, 1].
    sigma: Standard deviation of G_sigma in voxels.
    floor: In [0, 1); up to this value of the smoothed h the gate is exactly 0.
    hinge: Apply the floor. False returns G_sigma * h, an ablation: small values then
      restrain the field everywhere.

  Returns:
    g [B, *S, 1] in [0, 1].

  Examples:
    >>> [float(gate(jnp.full((1, 3, 3, 1), h), 0, 0.5).max()) for h in (0.5, 0.75, 1)]
    [0.0, 0.5, 1.0]
  """
  h = gaussian_smooth(h, sigma)
  return jnp.clip((h - floor) / (1 - floor), 0, 1) if hinge else h


def stiffness(
  g: jax.Array, base: float | jax.Array, ratio: float | jax.Array = 10.0
) -> jax.Array:
  """Computes the stiffness of a registration at each voxel from the gate.

  The stiffness lambda = base ratio^g, the weight of the smoothness term, rises with g.

  Args:
    g: Gate [B, *S, 1] in [0, 1].
    base: Stiffness where the gate is closed, a scalar or [B, 1, ..., 1].
    ratio: Stiffness where the gate is open, divided by `base`.

  Examples:
    >>> stiffness(jnp.array([0.0, 1.0]), base=0.5, ratio=8.0).tolist()
    [0.5, 4.0]
  """
  return base * ratio**g


def magnitude(g: jax.Array, peak: float | jax.Array) -> jax.Array:
  """Computes the weight of the penalty on large velocities from the gate.

  The weight mu = peak g multiplies |v|^2 of a velocity field v. It is exactly 0 where
  the gate is closed.

  Args:
    g: Gate [B, *S, 1] in [0, 1].
    peak: mu where the gate is open, a scalar or [B, 1, ..., 1].

  Examples:
    >>> magnitude(jnp.array([0.0, 0.5, 1.0]), peak=2.0).tolist()
    [0.0, 1.0, 2.0]
  """
  return peak * g


def data_weight(
  g: jax.Array, rho: float | jax.Array = 1.0, radius: int = 0
) -> jax.Array:
  """Computes the weight of each voxel in the image distance from the gate.

  The weight omega = 1 - rho dilate(g) is low where the gate is open. With a local
  correlation the radius must be the radius of its window, or the lesion still counts in
  windows centred outside of the gate.

  Args:
    g: Gate [B, *S, 1] in [0, 1].
    rho: In [0, 1]; 1 hides what the open gate covers, 0 hides nothing.
    radius: Voxels by which the gate is dilated.

  Examples:
    >>> g = jnp.array([1.0, 0.0, 0.0, 0.0]).reshape(1, 1, 4, 1)
    >>> data_weight(g, radius=1).ravel().tolist()
    [0.0, 0.0, 1.0, 1.0]
  """
  return 1 - rho * dilate(g, radius)
