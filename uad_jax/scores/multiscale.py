"""Multiscale scorer: the residual at several scales, each in its healthy deviation."""

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.ops.choices import check_choice
from uad_jax.ops.residual_sign import SIGNS
from uad_jax.ops.scale_space import magnitude


def make(of: str = 'reconstruction', sign: str = 'absolute') -> Scorer:
  """Builds a scorer of the residual at several scales.

  It is the root mean square over scales s of y_s / sd(y_s), y_s being the clipped and
  smoothed residual in healthy standard deviations (`ops.scale_space`) and sd(y_s) the
  deviation of y_s itself in healthy scans. The method computes both.

  Args:
    of: Expected image that the residual is of; the output 'OF_responses' is read.
    sign: 'absolute' for both, 'bright' or 'dark' for responses of that sign alone.

  Returns:
    A scorer of anomaly maps [B, *S, 1].

  Raises:
    ValueError: The sign is unknown.
  """
  check_choice('sign', sign, SIGNS, 'multiscale')

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    (responses,) = need(infer(batch, key), 'multiscale', f'{of}_responses')
    return magnitude(responses, sign)

  return score
