"""Functions that store the values of a metric in bootstrap resamples as short texts.

From the texts of two runs on the same subjects follows their paired difference.
"""

import base64

import numpy as np

from uad_jax.comparison import paired_differences
from uad_jax.evaluation.bootstrap import percentiles
from uad_jax.report.tables import Estimate

LEVELS = 2**16 - 1
"""Integer of 16 bits that encodes the value 1 in `packed`."""


def packed(draws: np.ndarray) -> str:
  """Encodes an array of values in [0, 1] as base64 text, with 16 bits per value.

  Returns:
    The text; '' if any value is not finite.
  """
  if not np.isfinite(draws).all():
    return ''
  return base64.b64encode(np.round(draws * LEVELS).astype('<u2').tobytes()).decode()


def unpacked(text: str) -> np.ndarray:
  """Decodes an array of values in [0, 1] from the text that `packed` returned.

  The error of a value is at most 1 / 131 070.
  """
  return np.frombuffer(base64.b64decode(text), '<u2') / LEVELS


def difference(
  value_a: float, draws_a: str, value_b: float, draws_b: str
) -> Estimate | None:
  """Computes the difference of a metric between two runs, with a paired interval.

  Args:
    value_a: The metric of the first run.
    draws_a: Its values in the resamples, as `packed` returns them.
    value_b: The metric of the second run, which is subtracted.
    draws_b: Its values in the same resamples.

  Returns:
    The difference; None if a run has no draws.
  """
  if not draws_a or not draws_b:
    return None
  draws = unpacked(draws_a) - unpacked(draws_b)
  return paired_differences.estimate(percentiles(value_a - value_b, draws))
