"""Functions that apply a network with or without dropout and check the dropout rate."""

import flax.linen as nn
import jax


def apply(net: nn.Module, params, *inputs, noise: jax.Array | None):
  """Applies a network; dropout is active only if a random key `noise` is given.

  Args:
    net: Module whose last argument is `deterministic`.
    params: Parameters of the module.
    *inputs: Arguments of the module before `deterministic`.
    noise: Random key for dropout, or None.

  Returns:
    The output of the module.
  """
  rngs = None if noise is None else {'dropout': noise}
  return net.apply({'params': params}, *inputs, noise is None, rngs=rngs)


def check_bayesian(method: str, bayesian: bool, dropout: float) -> None:
  """Checks that the dropout rate is above 0 if a method uses dropout at inference.

  Args:
    method: Name of the method, for the error message.
    bayesian: Whether dropout stays on at inference.
    dropout: Dropout rate.

  Raises:
    ValueError: `bayesian` with a rate of 0.
  """
  if bayesian and not dropout:
    raise ValueError(f'{method}: bayesian inference needs a dropout above 0')
