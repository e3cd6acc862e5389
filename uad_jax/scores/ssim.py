"""SSIM scorer: structural dissimilarity between an image and its reconstruction."""

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.ops import losses
from uad_jax.ops.residual_sign import one_sided


def make(of: str = 'reconstruction', window: int = 7, sign: str = 'absolute') -> Scorer:
  """Builds a scorer of the structural dissimilarity of an image and its reconstruction.

  It is 1 - SSIM at each voxel; SSIM is the structural similarity of Wang et al. 2004.

  Args:
    of: Output x' to compare with: 'reconstruction' or 'prior' (the prior image).
    window: Width of the SSIM window, odd, in voxels.
    sign: 'bright' or 'dark' sets the map to 0 where x - x' has the other sign
      (`residual_sign.one_sided`); 'absolute' keeps it everywhere.

  Returns:
    A scorer of anomaly maps [B, *S, 1], channels averaged.
  """

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    (expected,) = need(infer(batch, key), 'ssim', of)
    image = batch['image']
    value = 1 - losses.ssim(image, expected, window).mean(-1, keepdims=True)
    return one_sided(value, image - expected, sign)

  return score
