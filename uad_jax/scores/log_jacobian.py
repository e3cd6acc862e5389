"""Log-Jacobian scorer: local change of volume under a displacement field."""

import jax.numpy as jnp

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.registration.flow import jacobian_determinant


def make(floor: float = 0.01) -> Scorer:
  """Builds a scorer of the local change of volume that a registration method predicts.

  It is |log max(det(I + grad u), floor)|. The displacement field u, in voxels, is the
  method's output 'displacement'. A voxel where the field folds (determinant <= 0)
  scores -log(floor).

  Args:
    floor: Value in (0, 1) to which lower determinants are raised.

  Returns:
    A scorer of anomaly maps [B, *S, 1], which are not set to 0 outside of the brain.
  """

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    (displacement,) = need(infer(batch, key), 'log_jacobian', 'displacement')
    determinant = jacobian_determinant(displacement)[..., None]
    return jnp.abs(jnp.log(jnp.maximum(determinant, floor)))

  return score
