"""Functions that store an encoder's feature maps and read them after the forward pass.

The perceptual anomaly score compares these features.
"""

import flax.linen as nn
import jax

KEPT = 'intermediates'
"""Flax collection of the features; `init` leaves it out of the parameters."""


def keep(encoder: nn.Module, features: jax.Array) -> None:
  """Stores an encoder's feature maps of one resolution level with flax `sow`.

  Encoders call it at each level, finest first; `finest` reads the maps.

  Args:
    encoder: The calling module.
    features: Feature maps of the level, [B, *S', K].
  """
  encoder.sow(KEPT, 'features', features)


def finest(net: nn.Module, params, *inputs: jax.Array) -> jax.Array:
  """Computes the feature maps at the finest level of a network's encoder.

  Their shape is [B, *S', K]. Under `jax.jit` everything else that the network computes
  is pruned.

  Args:
    net: Module whose encoder calls `keep`.
    params: Parameters of the module.
    *inputs: Arguments of the module.
  """
  _, collections = net.apply({'params': params}, *inputs, mutable=[KEPT])
  return jax.tree.leaves(collections)[0]
