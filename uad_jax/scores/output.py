"""Output scorer: uses an output of the method, unchanged, as the anomaly map."""

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need


def make(of: str) -> Scorer:
  """Builds a scorer that returns an output of the method, averaged over its channels.

  Args:
    of: Name of an output with shape [B, *S, K], such as 'posterior' or 'gate'.

  Returns:
    A scorer of anomaly maps [B, *S, 1], which are not set to 0 outside of the brain.
  """

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    (value,) = need(infer(batch, key), 'output', of)
    return value.mean(-1, keepdims=True)

  return score
