"""SSIM scorer: structural dissimilarity between an image and its reconstruction."""

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.ops import losses


def make(of: str = 'reconstruction', window: int = 7) -> Scorer:
  """Builds a scorer of the structural dissimilarity of an image and its reconstruction.

  It is 1 - SSIM at each voxel; SSIM is the structural similarity of Wang et al. 2004.

  Args:
    of: Output x' to compare with: 'reconstruction' or 'prior' (the prior image).
    window: Width of the SSIM window, odd, in voxels.

  Returns:
    A scorer of anomaly maps [B, *S, 1], channels averaged.
  """

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    (expected,) = need(infer(batch, key), 'ssim', of)
    return 1 - losses.ssim(batch['image'], expected, window).mean(-1, keepdims=True)

  return score
