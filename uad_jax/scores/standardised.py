"""Standardised scorer: divides the residual by a predicted standard deviation."""

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.ops.choices import check_choice
from uad_jax.ops.residual_sign import SIGNS
from uad_jax.registration.gate import standardised_residual


def make(
  of: str = 'reconstruction',
  smooth: float = 1.0,
  tau: float = 0.02,
  sign: str = 'absolute',
) -> Scorer:
  """Builds a scorer that divides the residual by a predicted standard deviation.

  It is (G * |x - x'|) / sqrt(s^2 + tau^2) for an image x, G being a Gaussian filter.
  s^2 is the variance of healthy residuals that the method predicts at each voxel; its
  logarithm is the output 'reconstruction_log_variance' or 'prior_log_variance'.

  Args:
    of: Output x' to compare with: 'reconstruction' or 'prior' (the prior image).
    smooth: Standard deviation of the Gaussian G, in voxels.
    tau: Floor of the standard deviation, in image units.
    sign: 'absolute' for |x - x'|, 'bright' for x - x' or 'dark' for x' - x.

  Returns:
    A scorer of anomaly maps [B, *S, 1], channels averaged.

  Raises:
    ValueError: The sign is unknown.
  """
  check_choice('sign', sign, SIGNS, 'standardised')

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    expected, log_variance = need(
      infer(batch, key), 'standardised', of, f'{of}_log_variance'
    )
    return standardised_residual(
      batch['image'], expected, log_variance, smooth, tau, sign
    )

  return score
