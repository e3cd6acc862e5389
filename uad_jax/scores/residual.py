"""Residual scorer: difference between the image and its reconstruction."""

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.ops.filters import gaussian_smooth
from uad_jax.ops.residual_sign import signed


def make(
  of: str = 'reconstruction', sign: str = 'absolute', smooth: float = 0.0
) -> Scorer:
  """Builds a scorer of the residual between the image x and its reconstruction x'.

  Args:
    of: Output x' to compare with: 'reconstruction' or 'prior' (the prior image).
    sign: 'absolute' for |x - x'|, 'bright' for x - x' or 'dark' for x' - x.
    smooth: Standard deviation of a Gaussian that smooths the anomaly map, in voxels.

  Returns:
    A scorer of anomaly maps [B, *S, 1], channels averaged.
  """
  signed_residual = signed(sign, 'residual')

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    (expected,) = need(infer(batch, key), 'residual', of)
    residual = signed_residual(batch['image'] - expected).mean(-1, keepdims=True)
    return gaussian_smooth(residual, smooth)

  return score
