"""Exposes an encoder's feature maps through flax `sow`, for the perceptual score."""

import flax.linen as nn
import jax

KEPT = 'intermediates'
"""Flax collection of the features; `init` leaves it out of the parameters."""


def keep(encoder: nn.Module, features: jax.Array) -> None:
  """Exposes the features of one level; encoders call it at each level, finest first.

  Args:
    encoder: The calling module.
    features: [B, *S', K].
  """
  encoder.sow(KEPT, 'features', features)


def finest(net: nn.Module, params, *inputs: jax.Array) -> jax.Array:
  """Computes the finest feature maps of the encoder in a network, [B, *S', K].

  Under jit everything else that the network computes is pruned.

  Args:
    net: Module whose encoder calls `keep`.
    params: Parameters of the module.
    *inputs: Arguments of the module.
  """
  _, collections = net.apply({'params': params}, *inputs, mutable=[KEPT])
  return jax.tree.leaves(collections)[0]
