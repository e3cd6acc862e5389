"""One of the method's own maps, as it is."""

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need


def make(of: str) -> Scorer:
  """The output named `of`, channels averaged; [B, *S, 1]."""

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    (value,) = need(infer(batch, key), 'output', of)
    return value.mean(-1, keepdims=True)

  return score
