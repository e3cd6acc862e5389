"""Standardised residual: surprise in units of the predicted healthy deviation."""

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.registration.gate import standardised_residual


def make(of: str = 'reconstruction', smooth: float = 1.0, tau: float = 0.02) -> Scorer:
  """(G * |x - of|) / sqrt(exp(of_log_variance) + tau^2), channels averaged; [B, *S, 1].

  Args:
    of: 'reconstruction' or 'prior'; the method must give its log-variance too.
    smooth: Standard deviation of the Gaussian G, in voxels.
    tau: Floor of the deviation, in image units.
  """

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    expected, log_variance = need(
      infer(batch, key), 'standardised', of, f'{of}_log_variance'
    )
    return standardised_residual(batch['image'], expected, log_variance, smooth, tau)

  return score
