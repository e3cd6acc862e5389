"""The maps that an encoder makes on its way, for scores that compare images in them."""

import flax.linen as nn
import jax

KEPT = 'intermediates'
"""The collection that flax leaves out of `init`: no tree of parameters changes."""


def keep(encoder: nn.Module, maps: jax.Array) -> None:
  """Called by an encoder with the maps of each of its levels, the finest first."""
  encoder.sow(KEPT, 'features', maps)


def finest(net: nn.Module, params, *inputs: jax.Array) -> jax.Array:
  """The first maps that the encoder in `net` keeps; [B, *S', K].

  What else the network computes is pruned by jit.
  """
  _, kept = net.apply({'params': params}, *inputs, mutable=[KEPT])
  return jax.tree.leaves(kept)[0]
