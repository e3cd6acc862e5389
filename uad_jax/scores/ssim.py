"""Structural dissimilarity between the image and what the method expects."""

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.ops import losses


def make(of: str = 'reconstruction', window: int = 7) -> Scorer:
  """1 - SSIM(x, of) by voxel (Wang et al. 2004), channels averaged; [B, *S, 1]."""

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    (expected,) = need(infer(batch, key), 'ssim', of)
    return 1 - losses.ssim(batch['image'], expected, window).mean(-1, keepdims=True)

  return score
