"""Another inference of the same trained method: fixed entries added to every batch."""

import jax.numpy as jnp

from uad_jax.method import Adaptation, Method


def make(**entries: float) -> Adaptation:
  """Adds each entry as an array [B] to the batch that `infer` sees.

  `ask(strength=3.0, open=0.0)` turns the gated deformer into the uniform one.
  """

  def adapt(method: Method) -> Method:
    def infer(params, stats, batch, key):
      size = len(batch['image'])
      asked = {name: jnp.full((size,), value) for name, value in entries.items()}
      return method.infer(params, stats, {**batch, **asked}, key)

    return method._replace(infer=infer)

  return adapt
