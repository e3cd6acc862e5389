"""Residual in the features of the method's own encoder."""

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.nets.layers.resample import upsample
from uad_jax.ops.filters import gaussian_smooth


def distance(a: Array, b: Array, epsilon: float = 1e-6) -> Array:
  """|a / |a| - b / |b||^2 over the channels; [B, *S', K] to [B, *S', 1].

  Between 0 and 4: twice one minus the cosine. `epsilon` is added to the squared norms,
  so that maps which are all zero at a place have a gradient.
  """

  def unit(x):
    return x * jax.lax.rsqrt((x**2).sum(-1, keepdims=True) + epsilon)

  return ((unit(a) - unit(b)) ** 2).sum(-1, keepdims=True)


def make(
  of: str = 'reconstruction', residual: bool = False, smooth: float = 0.0
) -> Scorer:
  """|f(x) / |f(x)| - f(x') / |f(x')||^2 on the image's grid, in the mask; [B, *S, 1].

  The distance of Zhang et al. 2018 (LPIPS), with one level f and no learnt weights: f
  are the first maps of the encoder that the method trained on healthy scans, 'features'
  [B, *S', K] of its inference, where theirs are those of a network trained on
  photographs. A factor on all maps of a place does not matter, what they tell of its
  texture does. Shvetsova et al. 2021 detect by such a distance, of normalised features
  too; with `residual` it is multiplied by |x - x'|, as by Bercea et al. 2023
  ("Reversing the abnormal").

  The method is asked twice: for the image, and for its reconstruction.

  Args:
    of: The output x' to compare with: 'reconstruction', 'prior'.
    residual: Multiply by the residual, channels averaged.
    smooth: Standard deviation of a Gaussian over the distance, in voxels.
  """

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    image = batch['image']
    seen, expected = need(infer(batch, key), 'perceptual', 'features', of)
    (healthy,) = need(
      infer({**batch, 'image': expected}, key), 'perceptual', 'features'
    )
    value = upsample(distance(seen, healthy), image.shape[1:-1])
    value = gaussian_smooth(value, smooth)
    if residual:
      value = value * jnp.abs(image - expected).mean(-1, keepdims=True)
    return value * batch['mask']

  return score
