"""How well two images agree: squared error and local correlation, both weighted."""

import jax
import jax.numpy as jnp


def mse(a: jax.Array, b: jax.Array, weight: jax.Array | None = None) -> jax.Array:
  """The weighted mean of (a - b)^2 over voxels and channels, [B]; weight [B, *S, 1]."""
  return _mean((a - b) ** 2, weight)


def ncc(
  a: jax.Array,
  b: jax.Array,
  weight: jax.Array | None = None,
  window: int = 9,
  epsilon: float = 1e-5,
  signed: bool = False,
) -> jax.Array:
  """Local squared correlation over a box window (Avants et al. 2008), [B, *S, 1].

  cc = cov^2 / ((var_a + epsilon) (var_b + epsilon)), where mean, variance and
  covariance in the window are weighted: sum(w a) / sum(w), and so on. Voxels of weight
  0, and those beyond the border, take no part; a window without any weight gives 0.
  (VoxelMorph counts zeros beyond the border, and adds one epsilon to the product.)

  Args:
    a: [B, *S, C], in about [0, 1], to which epsilon belongs; channels are averaged.
    b: As a.
    weight: [B, *S, 1], not negative.
    window: Odd edge length of the box in voxels.
    epsilon: Added to each variance, so that flat regions neither match nor explode.
    signed: Return sign(cov) cc, so that inverted contrast counts as disagreement.
  """
  if window % 2 == 0:
    raise ValueError(f'ncc: the window must be odd, not {window}')
  if weight is None:
    weight = jnp.ones_like(a[..., :1])
  # An offset does not change the correlation, but the rounding of E[a^2] - E[a]^2.
  a, b = _centre(a, weight), _centre(b, weight)
  c = a.shape[-1]
  moments = jnp.concatenate([jnp.ones_like(weight), a, b, a * a, b * b, a * b], -1)
  n, *sums = jnp.split(
    box_sum(weight * moments, window), [1, 1 + c, 1 + 2 * c, 1 + 3 * c, 1 + 4 * c], -1
  )
  mean_a, mean_b, aa, bb, ab = (s / jnp.maximum(n, 1e-6) for s in sums)
  var_a = jnp.maximum(aa - mean_a**2, 0) + epsilon
  var_b = jnp.maximum(bb - mean_b**2, 0) + epsilon
  covariance = ab - mean_a * mean_b
  square = covariance * (jnp.abs(covariance) if signed else covariance)
  return (square / (var_a * var_b)).mean(-1, keepdims=True)


def ncc_loss(
  a: jax.Array,
  b: jax.Array,
  weight: jax.Array | None = None,
  window: int = 9,
  signed: bool = False,
) -> jax.Array:
  """sum(w (1 - cc_w)) / sum(w) with the weighted `ncc`, [B]."""
  return _mean(1 - ncc(a, b, weight, window, signed=signed), weight)


def box_sum(x: jax.Array, window: int) -> jax.Array:
  """Sums over the box of `window` voxels around each voxel, zero beyond the border."""
  radius = window // 2
  for axis in range(1, x.ndim - 1):
    dimensions = [window if i == axis else 1 for i in range(x.ndim)]
    padding = [(radius, radius) if i == axis else (0, 0) for i in range(x.ndim)]
    x = jax.lax.reduce_window(x, 0.0, jax.lax.add, dimensions, [1] * x.ndim, padding)
  return x


def _mean(values: jax.Array, weight: jax.Array | None) -> jax.Array:
  """The weighted mean over all but the batch, [B]; 0 where there is no weight."""
  axes = tuple(range(1, values.ndim))
  if weight is None:
    return values.mean(axes)
  weight = jnp.broadcast_to(weight, values.shape)
  return (weight * values).sum(axes) / jnp.maximum(weight.sum(axes), 1e-6)


def _centre(x: jax.Array, weight: jax.Array) -> jax.Array:
  axes = tuple(range(1, x.ndim - 1))
  total = (weight * x).sum(axes, keepdims=True)
  mean = total / jnp.maximum(weight.sum(axes, keepdims=True), 1e-6)
  return x - jax.lax.stop_gradient(mean)
