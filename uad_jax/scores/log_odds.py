"""Log-odds scorer: combines a predicted lesion probability and the image intensity."""

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.ops.losses import masked_median
from uad_jax.ops.residual_sign import signed

SMALLEST = 1e-6
"""Probabilities are kept this far from 0 and 1."""


def robust_z(image: Array, mask: Array) -> Array:
  """Computes the robust z-score of each voxel's intensity within the brain.

  z = (x - median) / (1.4826 MAD), MAD the median absolute deviation; median and MAD are
  those of the brain voxels of one example and channel.

  Args:
    image: [B, *S, C].
    mask: Brain mask [B, *S, 1].

  Returns:
    [B, *S, C], 0 outside the brain.
  """
  median = masked_median(image, mask)
  deviation = 1.4826 * masked_median(jnp.abs(image - median), mask)
  z = (image - median) / jnp.maximum(deviation, 1e-6)
  return jnp.where(mask > 0.5, z, 0.0)


def make(
  of: str = 'posterior', brightness: float = 1.0, sign: str = 'absolute'
) -> Scorer:
  """Builds a scorer that adds a z-score of intensity to the log-odds of a lesion.

  It is log(p / (1 - p)) + w z: p is the lesion probability of the method, z the robust
  z-score of the intensity (`robust_z`), with the sign of the lesions, and w a weight.
  If lesion and healthy intensities are normal with one variance, w z is the logarithm
  of their likelihood ratio up to a constant.

  Args:
    of: Output p of the method, [B, *S, 1] in [0, 1], such as 'posterior'.
    brightness: Weight w of the intensity.
    sign: 'bright' for z, 'dark' for -z, 'absolute' for |z|.

  Returns:
    A scorer of anomaly maps [B, *S, 1], channels averaged; at its lowest outside the
    brain mask.

  Raises:
    ValueError: The sign is unknown.
  """
  side = signed(sign, 'log_odds')

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    (probability,) = need(infer(batch, key), 'log_odds', of)
    logit = jax.scipy.special.logit(jnp.clip(probability, SMALLEST, 1 - SMALLEST))
    z = side(robust_z(jnp.asarray(batch['image']), batch['mask']))
    value = logit + brightness * z.mean(-1, keepdims=True)
    axes = tuple(range(1, value.ndim))
    lowest = value.min(axes, keepdims=True)
    return jnp.where(batch['mask'] > 0.5, value, lowest)

  return score
