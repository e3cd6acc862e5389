"""Losses, unreduced: a value for each voxel or example; the caller averages."""

import jax
import jax.numpy as jnp

from uad_jax.ops.filters import box_sum

Array = jax.Array


def masked_mean(value: Array, mask: Array) -> Array:
  """Mean over the voxels where `mask` is not zero, weighted by it; scalar.

  Args:
    value: [B, *S, C].
    mask: [B, *S, 1] or any shape that broadcasts with `value` by ones.
  """
  weight = jnp.broadcast_to(mask, value.shape)
  return (value * weight).sum() / jnp.maximum(weight.sum(), 1e-6)


def example_mean(value: Array, weight: Array) -> Array:
  """Mean over the examples [B], those of weight 0 (padding) left out; scalar."""
  return (value * weight).sum() / jnp.maximum(weight.sum(), 1e-6)


def example_sum(value: Array) -> Array:
  """Sum over all but the examples; [B, ...] to [B]."""
  return value.sum(tuple(range(1, value.ndim)))


def per_example(weight: Array, like: Array) -> Array:
  """Reshapes [B] to [B, 1, ..., 1] with the rank of `like`."""
  return weight.reshape((-1,) + (1,) * (like.ndim - 1))


def kl_normal(mean: Array, log_variance: Array) -> Array:
  """KL( N(mean, exp(log_variance)) || N(0, 1) ), elementwise."""
  return 0.5 * (mean**2 + jnp.exp(log_variance) - log_variance - 1.0)


def gaussian_nll(x: Array, mean: Array, log_variance: Array) -> Array:
  """-log N(x; mean, exp(log_variance)) without the constant, elementwise."""
  return 0.5 * ((x - mean) ** 2 * jnp.exp(-log_variance) + log_variance)


def beta_nll(x: Array, mean: Array, log_variance: Array, beta: float = 0.5) -> Array:
  """Heteroscedastic loss of Seitzer et al. 2022: sg(variance^beta) * NLL, elementwise.

  `beta` 0 is the likelihood, which gives up on voxels that are hard to predict; 1 gives
  the mean the gradient of a squared error.
  """
  scale = jax.lax.stop_gradient(jnp.exp(beta * log_variance))
  return scale * gaussian_nll(x, mean, log_variance)


def binary_cross_entropy(logit: Array, target: Array) -> Array:
  """-log Bernoulli(target; sigmoid(logit)), elementwise."""
  return jax.nn.softplus(logit) - logit * target


def soft_dice(logit: Array, target: Array) -> Array:
  """1 - Dice overlap of sigmoid(logit) with the target over the whole batch; scalar."""
  probability = jax.nn.sigmoid(logit)
  overlap = 2 * (probability * target).sum() + 1.0
  return 1 - overlap / (probability.sum() + target.sum() + 1.0)


def ssim(a: Array, b: Array, window: int = 7, data_range: float = 1.0) -> Array:
  """Structural similarity (Wang et al. 2004) with a uniform window; [B, *S, C].

  ((2 m_a m_b + c1)(2 s_ab + c2)) / ((m_a^2 + m_b^2 + c1)(s_a^2 + s_b^2 + c2)) with
  sample (co)variances, c1 = (0.01 L)^2, c2 = (0.03 L)^2; borders see the edge repeated.
  """
  spatial = a.ndim - 2
  half = window // 2
  pad = ((0, 0), *[(half, half)] * spatial, (0, 0))
  inner = (slice(None), *[slice(half, -half)] * spatial)

  def box(x):
    return box_sum(jnp.pad(x, pad, mode='edge'), window)[inner] / window**spatial

  mean_a, mean_b = box(a), box(b)
  unbiased = window**spatial / (window**spatial - 1)
  variance_a = unbiased * (box(a * a) - mean_a**2)
  variance_b = unbiased * (box(b * b) - mean_b**2)
  covariance = unbiased * (box(a * b) - mean_a * mean_b)
  c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
  return ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
    (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
  )
