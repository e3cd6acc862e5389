"""How well two images agree: squared error and local correlation, both weighted."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from uad_jax.ops.filters import box_sum_planes


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
  # Planes [B, C, *S]: the box runs over the last axes, which the processor vectorises.
  a, b = jnp.moveaxis(a, -1, 1), jnp.moveaxis(b, -1, 1)
  c = a.shape[1]
  if weight is None:
    # Known from the shape; as an array of ones it would be folded while compiling.
    n = _window_sizes(a.shape[2:], window)
  else:
    weight = jnp.moveaxis(weight, -1, 1)
    n = jnp.maximum(box_sum_planes(weight, window), 1e-6)
  # An offset does not change the correlation, but the rounding of E[a^2] - E[a]^2.
  a, b = _centre(a, weight), _centre(b, weight)
  moments = jnp.concatenate([a, b, a * a, b * b, a * b], 1)
  if weight is not None:
    moments = weight * moments
  means = box_sum_planes(moments, window) / n
  mean_a, mean_b, aa, bb, ab = (means[:, i * c : (i + 1) * c] for i in range(5))
  var_a = jnp.maximum(aa - mean_a**2, 0) + epsilon
  var_b = jnp.maximum(bb - mean_b**2, 0) + epsilon
  covariance = ab - mean_a * mean_b
  square = covariance * (jnp.abs(covariance) if signed else covariance)
  return (square / (var_a * var_b)).mean(1)[..., None]


def ncc_loss(
  a: jax.Array,
  b: jax.Array,
  weight: jax.Array | None = None,
  window: int = 9,
  signed: bool = False,
) -> jax.Array:
  """sum(w (1 - cc_w)) / sum(w) with the weighted `ncc`, [B]."""
  return _mean(1 - ncc(a, b, weight, window, signed=signed), weight)


def distance(
  name: str, window: int = 9, mse_weight: float = 1.0
) -> Callable[[jax.Array, jax.Array, jax.Array | None], jax.Array]:
  """D(a, b, weight), [B], by its name.

  Args:
    name: 'ncc', 1 - local squared correlation, or 'mse', the squared difference.
    window: Edge length of the correlation's box, in voxels.
    mse_weight: Factor of the squared difference.

  Raises:
    ValueError: There is no distance of this name.
  """
  table = {
    'ncc': lambda a, b, weight=None: ncc_loss(a, b, weight, window),
    'mse': lambda a, b, weight=None: mse_weight * mse(a, b, weight),
  }
  if name not in table:
    raise ValueError(f"unknown similarity '{name}'; there are {', '.join(table)}")
  return table[name]


def _window_sizes(spatial: tuple[int, ...], window: int) -> np.ndarray:
  """The number of voxels of the box inside the grid, [1, 1, *S]."""
  sizes = np.ones((1, 1, *(1 for _ in spatial)), 'float32')
  for axis, n in enumerate(spatial):
    i = np.arange(n)
    inside = np.minimum(i + window // 2, n - 1) - np.maximum(i - window // 2, 0) + 1
    sizes = sizes * inside.reshape(
      [-1 if j == axis else 1 for j in range(len(spatial))]
    )
  return sizes.astype('float32')


def _mean(values: jax.Array, weight: jax.Array | None) -> jax.Array:
  """The weighted mean over all but the batch, [B]; 0 where there is no weight."""
  axes = tuple(range(1, values.ndim))
  if weight is None:
    return values.mean(axes)
  weight = jnp.broadcast_to(weight, values.shape)
  return (weight * values).sum(axes) / jnp.maximum(weight.sum(axes), 1e-6)


def _centre(planes: jax.Array, weight: jax.Array | None) -> jax.Array:
  """The image less its weighted mean, taken as a constant."""
  axes = tuple(range(2, planes.ndim))
  if weight is None:
    mean = planes.mean(axes, keepdims=True)
  else:
    total = (weight * planes).sum(axes, keepdims=True)
    mean = total / jnp.maximum(weight.sum(axes, keepdims=True), 1e-6)
  return planes - jax.lax.stop_gradient(mean)
