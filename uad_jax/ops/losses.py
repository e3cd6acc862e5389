"""Loss functions, most of them elementwise (without a mean), and weighted means."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from uad_jax.ops.filters import box_sum

Array = jax.Array


def voxel_weight(batch: Mapping[str, Array]) -> Array:
  """Computes the weight of each voxel in a loss: brain mask times weight of the scan.

  Args:
    batch: 'mask', brain masks [B, *S, 1], and 'weight', 0 for padding, [B].

  Returns:
    [B, *S, 1].
  """
  return batch['mask'] * per_example(batch['weight'], batch['mask'])


def masked_mean(value: Array, mask: Array) -> Array:
  """Computes the mean of values over the voxels, weighted by a mask.

  The result is a scalar, 0 for an empty mask.

  Args:
    value: [B, *S, C].
    mask: Weights, not negative: [B, *S, 1] or another shape of the rank of `value` that
      broadcasts to it.

  Examples:
    >>> value = jnp.array([[[1.0], [2.0], [9.0]]])
    >>> mask = jnp.array([[[1.0], [1.0], [0.0]]])
    >>> float(masked_mean(value, mask))
    1.5
  """
  weight = jnp.broadcast_to(mask, value.shape)
  return (value * weight).sum() / jnp.maximum(weight.sum(), 1e-6)


def masked_median(value: Array, mask: Array) -> Array:
  """Computes the median over the voxels of a mask, of each example and channel.

  Args:
    value: [B, *S, C].
    mask: 1 where voxels count and 0 elsewhere, [B, *S, 1].

  Returns:
    [B, 1, ..., 1, C], nan for an empty mask.

  Examples:
    >>> value = jnp.array([[[1.0], [2.0], [9.0]]])
    >>> mask = jnp.array([[[1.0], [1.0], [0.0]]])
    >>> float(masked_median(value, mask)[0, 0, 0])
    1.5
  """
  inside = jnp.where(mask > 0.5, value, jnp.nan)
  return jnp.nanmedian(inside, tuple(range(1, value.ndim - 1)), keepdims=True)


def example_mean(value: Array, weight: Array) -> Array:
  """Computes the weighted mean over a batch that has one value per example.

  The result is a scalar, 0 if all weights are 0.

  Args:
    value: [B].
    weight: [B], 0 for padding.

  Examples:
    >>> float(example_mean(jnp.array([1.0, 3.0, 7.0]), jnp.array([1.0, 1.0, 0.0])))
    2.0
  """
  return (value * weight).sum() / jnp.maximum(weight.sum(), 1e-6)


def example_sum(value: Array) -> Array:
  """Sums an array over all its axes except the batch axis.

  An array [B, ...] becomes [B].

  Examples:
    >>> example_sum(jnp.ones((2, 3, 4))).tolist()
    [12.0, 12.0]
  """
  return value.sum(tuple(range(1, value.ndim)))


def per_example(weight: Array, like: Array) -> Array:
  """Adds axes of size 1 to a vector of weights, one per example, to fit `like`.

  The weights [B] become [B, 1, ..., 1], with as many axes as `like`, so that they
  broadcast over each example of it.

  Examples:
    >>> per_example(jnp.ones(2), jnp.ones((2, 8, 8, 1))).shape
    (2, 1, 1, 1)
  """
  return weight.reshape((-1,) + (1,) * (like.ndim - 1))


def kl_normal(mean: Array, log_variance: Array) -> Array:
  """Computes the KL divergence of a normal from the standard normal distribution.

  It is computed for each element:
  KL(N(mean, exp(log_variance)) || N(0, 1)) =
  1/2 (mean^2 + exp(log_variance) - log_variance - 1).

  Examples:
    >>> kl_normal(jnp.array([0.0, 2.0]), jnp.zeros(2)).tolist()
    [0.0, 2.0]
  """
  return 0.5 * (mean**2 + jnp.exp(log_variance) - log_variance - 1.0)


def gaussian_nll(x: Array, mean: Array, log_variance: Array) -> Array:
  """Computes the negative log likelihood of each value under a normal distribution.

  The constant is left out: -log N(x; mean, exp(log_variance)) - 1/2 log 2 pi.

  Examples:
    >>> gaussian_nll(jnp.array([0.0, 2.0]), jnp.zeros(2), jnp.zeros(2)).tolist()
    [0.0, 2.0]
  """
  return 0.5 * ((x - mean) ** 2 * jnp.exp(-log_variance) + log_variance)


def beta_nll(x: Array, mean: Array, log_variance: Array, beta: float = 0.5) -> Array:
  """Computes the negative log likelihood, weighted by a power of the variance.

  This is the beta-NLL loss (Seitzer et al. 2022) of each value under a normal
  distribution, sg(variance^beta) * NLL, where NLL is that of `gaussian_nll`. The weight
  gets no gradient (sg is stop_gradient).

  Args:
    x: The target.
    mean: The predicted mean, as x.
    log_variance: The predicted log-variance, as x.
    beta: In [0, 1]. At 0 the loss is the negative log likelihood, which hardly fits the
      mean of voxels that are hard to predict; at 1 the mean has the gradient of a
      squared error.
  """
  scale = jax.lax.stop_gradient(jnp.exp(beta * log_variance))
  return scale * gaussian_nll(x, mean, log_variance)


def laplace_nll(x: Array, mean: Array, log_variance: Array) -> Array:
  """Computes the negative log likelihood of each value under a Laplace distribution.

  The constant is left out. The distribution has the variance v = exp(log_variance),
  thus the scale b = sqrt(v / 2): -log p = |x - mean| / b + 1/2 log v + 1/2 log 2.

  Examples:
    >>> laplace_nll(jnp.array([0.0, 3.0]), jnp.zeros(2), jnp.log(jnp.full(2, 2.0)))
    Array([0.3465736, 3.3465736], dtype=float32)
  """
  return jnp.abs(x - mean) * jnp.exp(0.5 * (jnp.log(2.0) - log_variance)) + (
    0.5 * log_variance
  )


LIKELIHOODS = {'gaussian': gaussian_nll, 'beta': beta_nll, 'laplace': laplace_nll}
"""Negative log likelihoods (x, mean, log-variance) of heteroscedastic predictions."""


def binary_cross_entropy(logit: Array, target: Array) -> Array:
  """Computes the elementwise binary cross-entropy of a logit and a target.

  -log Bernoulli(target; sigmoid(logit)).

  Args:
    logit: Any shape.
    target: In [0, 1], as logit.

  Examples:
    >>> round(float(binary_cross_entropy(jnp.array(0.0), jnp.array(1.0))), 4)  # log 2
    0.6931
  """
  return jax.nn.softplus(logit) - logit * target


def soft_dice(logit: Array, target: Array) -> Array:
  """Computes the soft Dice loss between a predicted and a target mask.

  The loss is the scalar 1 - Dice, with
  Dice = (2 sum p t + 1) / (sum p + sum t + 1) over the whole batch, where
  p = sigmoid(logit) and t is the target; the 1 is added so that two empty masks overlap
  fully.

  Args:
    logit: Any shape.
    target: In [0, 1], as logit.

  Examples:
    >>> target = jnp.array([0.0, 1.0, 1.0])
    >>> round(float(soft_dice(200 * target - 100, target)), 4)
    0.0
  """
  probability = jax.nn.sigmoid(logit)
  overlap = 2 * (probability * target).sum() + 1.0
  return 1 - overlap / (probability.sum() + target.sum() + 1.0)


def ssim(a: Array, b: Array, window: int = 7, data_range: float = 1.0) -> Array:
  """Computes the structural similarity (SSIM) of two images at each voxel.

  Wang et al. 2004:
  ((2 m_a m_b + c1)(2 s_ab + c2)) / ((m_a^2 + m_b^2 + c1)(s_a^2 + s_b^2 + c2)), where m
  is a mean and s a sample (co)variance in a uniform window around a voxel,
  c1 = (0.01 L)^2 and c2 = (0.03 L)^2; outside of the grid the border voxels repeat.

  Args:
    a: [B, *S, C].
    b: As a.
    window: Odd edge length of the window in voxels.
    data_range: L, the range of the intensities.

  Returns:
    [B, *S, C] in [-1, 1], 1 where the images agree.

  Examples:
    >>> image = jnp.arange(16.0).reshape(1, 4, 4, 1) / 16
    >>> similarity = ssim(image, image, window=3)
    >>> similarity.shape, round(float(similarity.min()), 4)
    ((1, 4, 4, 1), 1.0)
    >>> bool((ssim(image, 1 - image, window=3) < 0).any())
    True
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
