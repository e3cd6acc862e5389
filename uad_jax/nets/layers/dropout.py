"""Networks with dropout, at work with it and without."""

import flax.linen as nn
import jax


def apply(net: nn.Module, params, *inputs, noise: jax.Array | None):
  """A network with its dropout on, drawn from `noise`, or off when that is None.

  Its last argument is `deterministic`.
  """
  rngs = None if noise is None else {'dropout': noise}
  return net.apply({'params': params}, *inputs, noise is None, rngs=rngs)


def check_bayesian(method: str, bayesian: bool, dropout: float) -> None:
  """Refuses inference by dropout where there is none."""
  if bayesian and not dropout:
    raise ValueError(f'{method}: bayesian inference needs a dropout above 0')
