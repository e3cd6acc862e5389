"""Functions that compute distances of two images: squared error, local correlation."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from uad_jax.ops.choices import choose
from uad_jax.ops.filters import box_sum_planes


def mse(a: jax.Array, b: jax.Array, weight: jax.Array | None = None) -> jax.Array:
  """Computes the weighted mean squared error between two images.

  The result is [B], one value per pair of images.

  Args:
    a: [B, *S, C].
    b: As a.
    weight: [B, *S, 1], not negative; None is 1. Without any weight the result is 0.

  Examples:
    >>> a, b = jnp.zeros((1, 1, 2, 1)), jnp.array([1.0, 3.0]).reshape(1, 1, 2, 1)
    >>> weight = jnp.array([0.0, 1.0]).reshape(1, 1, 2, 1)
    >>> mse(a, b).tolist(), mse(a, b, weight).tolist()
    ([5.0], [9.0])
  """
  return _mean((a - b) ** 2, weight)


def ncc(
  a: jax.Array,
  b: jax.Array,
  weight: jax.Array | None = None,
  window: int = 9,
  epsilon: float = 1e-5,
  signed: bool = False,
) -> jax.Array:
  """Computes the squared local correlation of two images in a window at each voxel.

  It is the local correlation of Avants et al. 2008 in a box around the voxel:
  cc = cov^2 / ((var_a + epsilon) (var_b + epsilon)), where mean, variance and
  covariance in the window are weighted: sum(w a) / sum(w), and so on. Voxels of weight
  0, and those beyond the border, take no part; a window without any weight gives 0.
  (VoxelMorph counts zeros beyond the border, and adds one epsilon to the product.)

  Args:
    a: [B, *S, C], in about [0, 1], for which epsilon is chosen; the result is averaged
      over channels.
    b: As a.
    weight: [B, *S, 1], not negative; None is 1.
    window: Odd edge length of the box in voxels.
    epsilon: Added to each variance, so that flat regions neither match nor explode.
    signed: Return sign(cov) cc, so that inverted contrast counts as disagreement.

  Returns:
    [B, *S, 1] in [0, 1], or in [-1, 1] if signed.

  Raises:
    ValueError: The window is even.

  Examples:
    >>> a = jnp.arange(16.0).reshape(1, 4, 4, 1)
    >>> for signed in (False, True):
    ...   print(round(float(ncc(a, 3 - 2 * a, window=3, signed=signed).mean()), 3))
    1.0
    -1.0
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
  """Computes a loss that is low where two images are locally correlated.

  It is the weighted mean sum(w (1 - cc_w)) / sum(w), [B], cc_w being the result of
  `ncc` with the weight w.

  Args:
    a: [B, *S, C] in about [0, 1].
    b: As a.
    weight: w [B, *S, 1], not negative; None is 1.
    window: Odd edge length of the box in voxels.
    signed: As for `ncc`.

  Examples:
    >>> a = jnp.arange(16.0).reshape(1, 4, 4, 1)
    >>> ncc_loss(a, jnp.zeros_like(a), window=3).tolist()
    [1.0]
  """
  return _mean(1 - ncc(a, b, weight, window, signed=signed), weight)


def distance(
  name: str, window: int = 9, mse_weight: float = 1.0
) -> Callable[[jax.Array, jax.Array, jax.Array | None], jax.Array]:
  """Returns the function that computes the image distance with a given name.

  Args:
    name: 'ncc', 1 - local squared correlation, or 'mse', the squared difference.
    window: Odd edge length of the correlation's box in voxels.
    mse_weight: Factor of the squared difference.

  Returns:
    Function D(a, b, weight) of images [B, *S, C] and a weight [B, *S, 1]; its result is
    [B].

  Raises:
    ValueError: There is no distance of this name.

  Examples:
    >>> a = jnp.full((1, 2, 2, 1), 2.0)
    >>> distance('mse', mse_weight=0.5)(a, 0 * a).tolist()
    [2.0]
  """
  table = {
    'ncc': lambda a, b, weight=None: ncc_loss(a, b, weight, window),
    'mse': lambda a, b, weight=None: mse_weight * mse(a, b, weight),
  }
  return choose('similarity', name, table)


USERS = {'window': 'ncc', 'mse_weight': 'mse'}
"""Options of `distance`, with the only distance that uses each."""


def check_used(
  method: str, name: str, defaults: Mapping[str, Any], **options: Any
) -> None:
  """Checks that no option is set that the chosen image distance does not use.

  Args:
    method: Name of the method, for the error message.
    name: Name of the distance, as in `distance`.
    defaults: Defaults of the options in `USERS` in the method.
    **options: Their values.

  Raises:
    ValueError: Such an option differs from its default.
  """
  for option, user in USERS.items():
    if user != name and options[option] != defaults[option]:
      raise ValueError(
        f"{method}: {option} is {options[option]}, but similarity '{name}' does not "
        f"use it; allowed is {defaults[option]}, or similarity '{user}'"
      )


def _window_sizes(spatial: tuple[int, ...], window: int) -> np.ndarray:
  """Number of voxels of the box that lie inside of the grid, [1, 1, *S]."""
  sizes = np.ones((1, 1, *(1 for _ in spatial)), 'float32')
  for axis, n in enumerate(spatial):
    i = np.arange(n)
    inside = np.minimum(i + window // 2, n - 1) - np.maximum(i - window // 2, 0) + 1
    sizes = sizes * inside.reshape(
      [-1 if j == axis else 1 for j in range(len(spatial))]
    )
  return sizes.astype('float32')


def _mean(values: jax.Array, weight: jax.Array | None) -> jax.Array:
  """Weighted mean over all axes but the batch axis, [B]; 0 without any weight."""
  axes = tuple(range(1, values.ndim))
  if weight is None:
    return values.mean(axes)
  weight = jnp.broadcast_to(weight, values.shape)
  return (weight * values).sum(axes) / jnp.maximum(weight.sum(axes), 1e-6)


def _centre(planes: jax.Array, weight: jax.Array | None) -> jax.Array:
  """Subtracts from each channel its weighted mean, which gets no gradient."""
  axes = tuple(range(2, planes.ndim))
  if weight is None:
    mean = planes.mean(axes, keepdims=True)
  else:
    total = (weight * planes).sum(axes, keepdims=True)
    mean = total / jnp.maximum(weight.sum(axes, keepdims=True), 1e-6)
  return planes - jax.lax.stop_gradient(mean)
