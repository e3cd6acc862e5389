"""Registration network whose parameters another network gives (HyperMorph)."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.voxelmorph import Field

Array = jax.Array


class HyperField(nn.Module):
  """Registration network for every weight of the regularisation (Hoopes et al. 2021).

  A hypernetwork, fully connected with ReLU, maps the weight w to features h [K]. All
  parameters of a `Field` are affine in them, start + sum_k h_k direction_k, as by one
  linear layer for each. The directions start at zero, so that the network starts as a
  `Field` for every weight.

  Attributes:
    encoder: Widths of `Field`.
    decoder: Widths of `Field`.
    hidden: Widths of the hypernetwork's layers, the last K.
  """

  encoder: Sequence[int]
  decoder: Sequence[int]
  hidden: Sequence[int] = (64, 64, 64, 64)

  @nn.compact
  def __call__(self, moving: Array, fixed: Array, weight: Array) -> Array:
    """Predicts the field [B, *s, d] that warps `moving` onto `fixed`, [B, *S, C].

    Args:
      moving: Images that the deformation warps.
      fixed: Images that they are warped onto.
      weight: Weight of the regularisation in [0, 1]: [] for all pairs, or [B].
    """
    field = Field(self.encoder, self.decoder, parent=None)
    start = self.param('start', lambda key: field.init(key, moving, fixed)['params'])
    features = weight[..., None]
    for width in self.hidden:
      features = nn.relu(nn.Dense(width)(features))
    directions = self.param(
      'directions',
      lambda key: jax.tree.map(lambda x: jnp.zeros((width, *x.shape)), start),
    )

    def predict(features, moving, fixed):
      params = jax.tree.map(
        lambda x, d: x + jnp.tensordot(features, d, 1), start, directions
      )
      return field.apply({'params': params}, moving, fixed)

    if not weight.ndim:
      return predict(features, moving, fixed)
    one = jax.vmap(lambda h, m, f: predict(h, m[None], f[None])[0])
    return one(features, moving, fixed)
