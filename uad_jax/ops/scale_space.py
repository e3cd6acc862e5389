"""Functions that smooth a residual at several scales and standardise each of them.

An anomaly is a region in which the residual has one sign; misalignment leaves thin
residuals of both signs. So z, the residual in healthy standard deviations, is clipped,
which bounds what a thin edge can add up to, and smoothed with its sign:

  y_s = G_s * clip(z, -limit, limit)

for scales s, standard deviations of the Gaussian filter G_s in voxels. Residuals of
neighbours are correlated, and differently so at each place, so that the deviation of
y_s does not follow from that of z: it is measured on healthy scans, voxel by voxel and
for each scale. The search over scales follows Worsley et al. 1996, "Searching scale
space for activation in PET images".
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.ops.filters import gaussian_smooth
from uad_jax.ops.losses import masked_median
from uad_jax.ops.residual_sign import SIGNS


def responses(z: jax.Array, scales: Sequence[float], limit: float) -> jax.Array:
  """Clips a standardised residual and smooths it at several scales.

  Args:
    z: Residual in healthy standard deviations, with its sign, 0 outside of the brain,
      [B, *S, C].
    scales: Standard deviations s of the Gaussian filters, in voxels.
    limit: Largest |z| that counts.

  Returns:
    y [B, *S, C n] for n scales, the channels of the first scale first.

  Examples:
    >>> z = jnp.array([0.0, 5.0, 0.0]).reshape(1, 3, 1)
    >>> responses(z, (0.0, 0.5), limit=2.0)[0, :, 0].tolist()
    [0.0, 2.0, 0.0]
    >>> responses(z, (0.0, 0.5), limit=2.0).shape
    (1, 3, 2)
  """
  z = jnp.clip(z, -limit, limit)
  return jnp.concatenate([gaussian_smooth(z, scale) for scale in scales], -1)


def magnitude(standardised: jax.Array, sign: str = 'absolute') -> jax.Array:
  """Computes the root mean square of standardised responses over scales.

  Args:
    standardised: Responses in their healthy deviations, [B, *S, C n].
    sign: Key of `ops.residual_sign.SIGNS`. For 'bright' and 'dark', responses of the
      other sign count as 0.

  Returns:
    [B, *S, 1].

  Examples:
    >>> two = jnp.array([[[3.0, -4.0]]])
    >>> [round(magnitude(two, sign).item(), 2) for sign in ('absolute', 'dark')]
    [3.54, 2.83]
  """
  one_sided = jnp.maximum(SIGNS[sign](standardised), 0)
  return jnp.sqrt((one_sided**2).mean(-1, keepdims=True))


def unusual(value: jax.Array, mask: jax.Array) -> jax.Array:
  """Divides a map by its median in the brain, where that is above 1.

  In units of a healthy deviation a map of a scan that is not registered yet, or that
  differs from the healthy scans throughout, is large nearly everywhere. What is unusual
  is then what exceeds the rest of the scan.

  Args:
    value: T [B, *S, 1], 0 or above.
    mask: Brain mask [B, *S, 1].

  Returns:
    T / max(1, median T), [B, *S, 1].

  Examples:
    >>> value, mask = jnp.array([[2.0, 4, 12, 0], [1.0, 1, 1, 0]]).reshape(2, 1, 4, 1)
    >>> unusual(value, mask).ravel().tolist()
    [0.5, 1.0, 3.0, 0.0]
  """
  middle = jnp.nan_to_num(masked_median(value, mask))
  return value / jnp.maximum(middle, 1.0)
