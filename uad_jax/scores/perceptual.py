"""Perceptual scorer: distance between network features of image and reconstruction."""

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.nets.layers.resample import upsample
from uad_jax.ops.filters import gaussian_smooth
from uad_jax.ops.residual_sign import one_sided


def distance(a: Array, b: Array, epsilon: float = 1e-6) -> Array:
  """Computes the squared distance between feature vectors normalised to length 1.

  It is |a / |a| - b / |b||^2 = 2 (1 - cosine of a and b), in [0, 4]; its shape is
  [B, *S', 1].

  Args:
    a: Features [B, *S', K]; the norm is over the K channels.
    b: Features [B, *S', K].
    epsilon: Added to the squared norms, so that features which are all zero at a place
      have a gradient.
  """

  def unit(x):
    return x * jax.lax.rsqrt((x**2).sum(-1, keepdims=True) + epsilon)

  return ((unit(a) - unit(b)) ** 2).sum(-1, keepdims=True)


def make(
  of: str = 'reconstruction',
  residual: bool = False,
  smooth: float = 0.0,
  sign: str = 'absolute',
) -> Scorer:
  """Builds a scorer that compares network features of an image and its reconstruction.

  For an image x and its reconstruction x', |f(x) / |f(x)| - f(x') / |f(x')||^2 is the
  distance of Zhang et al. 2018 (LPIPS), with one level of features f and no learnt
  weights. f are the first feature maps of the encoder that the method trained on
  healthy scans (output 'features' [B, *S', K]); LPIPS has those of a network trained on
  photographs. The distance does not change if all features at a voxel are multiplied by
  one factor; only their ratios count. Shvetsova et al. 2021 also
  detect anomalies by a distance of normalised features. With `residual` it is
  multiplied by |x - x'|, as in Bercea et al. 2023 ("Reversing the abnormal").

  The method infers twice: on the image x and on its reconstruction x'.

  Args:
    of: Output x' to compare with: 'reconstruction' or 'prior' (the prior image).
    residual: Whether the distance is multiplied by the residual |x - x'|, averaged over
      channels.
    smooth: Standard deviation of a Gaussian that smooths the distance, in voxels.
    sign: 'bright' or 'dark' sets the map to 0 where x - x' has the other sign
      (`residual_sign.one_sided`); 'absolute' keeps it everywhere.

  Returns:
    A scorer of anomaly maps [B, *S, 1] on the grid of the image, 0 outside the brain
    mask.
  """

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    image = batch['image']
    features, expected = need(infer(batch, key), 'perceptual', 'features', of)
    (expected_features,) = need(
      infer({**batch, 'image': expected}, key), 'perceptual', 'features'
    )
    value = upsample(distance(features, expected_features), image.shape[1:-1])
    value = gaussian_smooth(value, smooth)
    if residual:
      value = value * jnp.abs(image - expected).mean(-1, keepdims=True)
    return one_sided(value * batch['mask'], image - expected, sign)

  return score
