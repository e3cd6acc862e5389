"""Functions of a normal distribution over velocity fields, one variance per component.

Dalca et al. 2019 ("Unsupervised learning of probabilistic diffeomorphic registration").
"""

import jax
import jax.numpy as jnp

from uad_jax.ops.losses import example_sum
from uad_jax.registration.solve import degree, laplacian

Array = jax.Array


def sample(key: Array, mean: Array, log_variance: Array) -> Array:
  """Draws velocity fields, mean + sqrt(variance) times standard normal noise.

  Args:
    key: Random key.
    mean: mu [B, *V, d].
    log_variance: log s, as mean.
  """
  noise = jax.random.normal(key, mean.shape, mean.dtype)
  return mean + jnp.exp(0.5 * log_variance) * noise


def kl_smooth(mean: Array, log_variance: Array, precision: float) -> Array:
  """Computes the KL divergence of velocity fields from a prior of smooth fields.

  The prior of each component is N(0, (lambda L)^-1), L = D - A the Laplacian of the
  voxel grid, D the number of neighbours. The divergence is

    1/2 [sum_i (lambda D_i s_i - log s_i) + lambda sum_ij (mu_i - mu_j)^2] + constant,

  summed over voxels i, pairs of neighbours ij and components (Dalca et al. 2019).
  The constant, infinite as the prior does not know the mean of a field, is left
  out.

  The program of the paper averages both sums over voxels, components and axes, which
  weighs the second one 2 d times less against the first.

  Args:
    mean: mu [B, *V, d] in voxels.
    log_variance: log s, as mean.
    precision: lambda.

  Returns:
    [B].

  Examples:
    >>> rest = jnp.zeros((1, 2, 1, 2))  # one pair of neighbours, two components
    >>> kl_smooth(rest, rest, 3.0).tolist()  # 4 times (3 * 1 - 0) / 2
    [6.0]
    >>> kl_smooth(rest.at[0, 0, 0, 0].set(2.0), rest, 3.0).tolist()  # 3 * 2^2 / 2 more
    [12.0]
  """
  one = jnp.ones((*mean.shape[:-1], 1), mean.dtype)
  spread = precision * degree(one) * jnp.exp(log_variance) - log_variance
  return 0.5 * example_sum(spread + precision * mean * laplacian(mean, one))
