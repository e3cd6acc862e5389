"""Residual: how far the image is from what the method expects."""

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.ops.filters import gaussian_smooth
from uad_jax.ops.residual_sign import signed


def make(
  of: str = 'reconstruction', sign: str = 'absolute', smooth: float = 0.0
) -> Scorer:
  """|x - of|, x - of ('bright') or of - x ('dark'), channels averaged; [B, *S, 1].

  Args:
    of: The output to compare with: 'reconstruction', 'prior'.
    sign: 'absolute', 'bright' or 'dark'.
    smooth: Standard deviation of a Gaussian over the map, in voxels.
  """
  side = signed(sign, 'residual')

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    (expected,) = need(infer(batch, key), 'residual', of)
    residual = side(batch['image'] - expected).mean(-1, keepdims=True)
    return gaussian_smooth(residual, smooth)

  return score
