"""Healing scorer: compares an image with decodings of its corrected latent codes.

The unlikely codes are drawn anew, which is called healing.
"""

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.ops.filters import gaussian_smooth
from uad_jax.ops.residual_sign import signed


def make(smooth: float = 0.0, sign: str = 'absolute') -> Scorer:
  """Builds a scorer that compares an image with decodings of corrected latent codes.

  Latent codes that are unlikely are replaced by new samples, which is called healing.
  The map is the mean over R decoded images x_r of |x - x_r| m_r (Pinaya et al., Medical
  Image Analysis 79, 2022). x_r (output 'healed' [B, R, *S, C]) is decoded from the
  healed codes of the image x; m_r in [0, 1] (output 'heal_mask' [B, R, *S, 1]) marks
  the places of the replaced codes, so that the blur of all other places does not enter
  the anomaly map.

  Args:
    smooth: Standard deviation of a Gaussian that smooths the masks m_r, in voxels. The
      brain mask is applied after it, else the cortex would weigh less.
    sign: 'absolute' for |x - x_r|, 'bright' for x - x_r or 'dark' for x_r - x.

  Returns:
    A scorer of anomaly maps [B, *S, 1]: channels averaged, 0 outside the brain mask.
  """
  side = signed(sign, 'healing')

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    healed, masks = need(infer(batch, key), 'healing', 'healed', 'heal_mask')
    residual = side(batch['image'][:, None] - healed).mean(-1, keepdims=True)
    soft = gaussian_smooth(masks.reshape(-1, *masks.shape[2:]), smooth)
    return (residual * soft.reshape(masks.shape)).mean(1) * batch['mask']

  return score
