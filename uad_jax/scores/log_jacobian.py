"""The deformation itself as evidence: where it had to stretch or shrink."""

import jax.numpy as jnp

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.registration.flow import jacobian_determinant


def make(floor: float = 0.01) -> Scorer:
  """|log max(det(I + grad u), floor)|; [B, *S, 1]. A fold counts as -log(floor)."""

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    (displacement,) = need(infer(batch, key), 'log_jacobian', 'displacement')
    determinant = jacobian_determinant(displacement)[..., None]
    return jnp.abs(jnp.log(jnp.maximum(determinant, floor)))

  return score
