"""Dropout with a learned rate, and functions that apply and check dropout."""

import flax.linen as nn
import jax
import jax.numpy as jnp

TEMPERATURE = 0.1
"""Temperature of the relaxed mask of concrete dropout."""


class ConcreteDropout(nn.Module):
  """Dropout whose rate is learned (Gal, Hron and Kendall 2017, "Concrete dropout").

  With p = sigmoid(logit) and a uniform u, each value is multiplied by
  (1 - d) / (1 - p), d = sigmoid((logit + log u - log(1 - u)) / 0.1) being a relaxed
  draw of Bernoulli(p).

  Attributes:
    rate: Dropout rate p when training starts, in (0, 1).
    deterministic: Turns dropout off.
  """

  rate: float
  deterministic: bool

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Drops values of an array of any shape."""
    start = nn.initializers.constant(jax.scipy.special.logit(self.rate))
    logit = self.param('rate_logit', start, ())
    if self.deterministic:
      return x
    noise = jax.random.logistic(self.make_rng('dropout'), x.shape)
    dropped = nn.sigmoid((logit + noise) / TEMPERATURE)
    return x * (1 - dropped) / (1 - nn.sigmoid(logit))


def rate_entropy(params) -> jax.Array:
  """Sums the entropies of the rates of all `ConcreteDropout` layers, in nats.

  -p log p - (1 - p) log(1 - p) for each; the loss of a network subtracts a multiple.

  Args:
    params: Parameters of a network.
  """
  total = jnp.zeros(())
  for path, logit in jax.tree_util.tree_leaves_with_path(params):
    if path[-1].key == 'rate_logit':
      # With log p = -softplus(-logit) it is finite for any logit.
      total += nn.sigmoid(logit) * nn.softplus(-logit)
      total += nn.sigmoid(-logit) * nn.softplus(logit)
  return total


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
