"""Functions that compute each voxel's mean and variance over aligned healthy scans."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.ops.filters import gaussian_smooth
from uad_jax.ops.losses import per_example

Array = jax.Array
Moments = dict[str, Array]
"""Sums at N slice heights: 'count' [N], the scans' weights, and 'sum' and, where the
variance is wanted, 'square', weighted sums of the images x and of x^2, [N, *S, C]."""


SMALLEST = 1e-3
"""Sums of less weight than this are taken for rounding, where images are removed."""


def tent(position: Array, bins: int) -> Array:
  """Computes the weights of a linear interpolation between evenly spaced heights.

  The height of a slice is its relative position in the volume, from 0 to 1.

  Args:
    position: Slice heights [B] in [0, 1].
    bins: Number of slice heights, the first at 0 and the last at 1; 1 for all heights.

  Returns:
    [B, bins].

  Examples:
    >>> tent(jnp.array([0.5, 0.75]), 3).tolist()
    [[0.0, 1.0, 0.0], [0.0, 0.5, 0.5]]
    >>> tent(jnp.array([0.5, 0.75]), 1).tolist()
    [[1.0], [1.0]]
  """
  if bins == 1:
    return jnp.ones((len(position), 1))
  knots = jnp.linspace(0.0, 1.0, bins)[None]
  return jnp.maximum(1 - jnp.abs(position[:, None] - knots) * (bins - 1), 0.0)


def empty(
  bins: int, shape: Sequence[int], channels: int, squares: bool = True
) -> Moments:
  """Creates zero sums, in which `observe` collects the statistics of each voxel.

  Args:
    bins: Number of slice heights; 1 for volumes.
    shape: Sizes of the images' spatial axes.
    channels: Number of channels.
    squares: Collect the squares, which the variance needs, too.
  """
  names = ('sum', 'square') if squares else ('sum',)
  zeros = {name: jnp.zeros((bins, *shape, channels)) for name in names}
  return {'count': jnp.zeros((bins,)), **zeros}


def observe(moments: Moments, value: Array, position: Array, weight: Array) -> Moments:
  """Adds a batch of images to the sums for the mean and variance of each voxel.

  Each image is shared between the two nearest slice heights, by linear weights.

  Args:
    moments: The sums so far, from `empty` or `observe`.
    value: Images [B, *S, C].
    position: Slice heights [B] in [0, 1].
    weight: Weight of each image, [B]; 0 leaves an image out.

  Returns:
    The new sums.

  Examples:
    >>> images = jnp.array([1.0, 3.0]).reshape(2, 1, 1, 1)
    >>> position = jnp.array([0.0, 0.5])
    >>> moments = observe(empty(2, (1, 1), 1), images, position, jnp.ones(2))
    >>> moments['count'].tolist(), moments['sum'].ravel().tolist()
    ([1.5, 0.5], [2.5, 1.5])
  """
  share = tent(position, len(moments['count'])) * weight[:, None]
  added = {
    'count': lambda: share.sum(0),
    'sum': lambda: jnp.tensordot(share, value, ((0,), (0,))),
    'square': lambda: jnp.tensordot(share, value**2, ((0,), (0,))),
  }
  return {name: sums + added[name]() for name, sums in moments.items()}


def remove(moments: Moments, value: Array, position: Array, weight: Array) -> Moments:
  """Removes images from sums to which they were added.

  Arguments are those of `observe`. A slice height at which hardly anything is left, as
  by rounding, becomes one where nothing was observed.

  Examples:
    >>> images, position = jnp.ones((1, 1, 1, 1)), jnp.zeros(1)
    >>> moments = observe(empty(1, (1, 1), 1), images, position, jnp.ones(1))
    >>> remove(moments, images, position, jnp.ones(1))['count'].tolist()
    [0.0]
  """
  return settled(observe(moments, value, position, -weight))


def settled(moments: Moments) -> Moments:
  """Empties the slice heights at which hardly any weight is left, as by rounding.

  Examples:
    >>> few = {'count': jnp.array([1e-6, 2.0]), 'sum': jnp.array([[1e-6], [4.0]])}
    >>> settled(few)['sum'].ravel().tolist()
    [0.0, 4.0]
  """
  seen = moments['count'] > SMALLEST
  return {name: sums * per_example(seen, sums) for name, sums in moments.items()}


def reweighted(moments: Moments, weight: Array) -> Moments:
  """Scales sums to a total weight.

  Examples:
    >>> few = {'count': jnp.array([1.0, 3.0]), 'sum': jnp.array([[2.0], [6.0]])}
    >>> reweighted(few, 2.0)['sum'].ravel().tolist()
    [1.0, 3.0]
  """
  share = weight / jnp.maximum(moments['count'].sum(), 1e-6)
  return {name: share * sums for name, sums in moments.items()}


def mean_of(
  moments: Moments, position: Array, smooth: float = 1.0, name: str = 'sum'
) -> Array:
  """Computes the mean of a sum at each voxel for slices of given heights, [B, *S, C].

  It is interpolated between the slice heights of the sums. Slice heights at which no
  scan was observed are left out of the interpolation; a slice beyond all that were
  observed gets the mean of the nearest.

  Args:
    moments: Sums from `observe`.
    position: Slice heights [B] in [0, 1].
    smooth: Standard deviation in voxels of the Gaussian that smooths the mean, because
      aligned brains still differ a little in place.
    name: Key of the sum.

  Examples:
    >>> images = jnp.array([1.0, 3.0]).reshape(2, 1, 1, 1)
    >>> kept = observe(empty(1, (1, 1), 1, False), images, jnp.zeros(2), jnp.ones(2))
    >>> sorted(kept), mean_of(kept, jnp.zeros(1), smooth=0).ravel().tolist()
    (['count', 'sum'], [2.0])
  """
  count, sums = moments['count'], moments[name]
  per_count = 1 / per_example(jnp.maximum(count, 1e-6), sums)
  weight = tent(position, len(count)) * (count > 0)[None]
  total = weight.sum(1, keepdims=True)
  distance = jnp.abs(position[:, None] - jnp.linspace(0.0, 1.0, len(count))[None])
  nearest = jnp.argmin(jnp.where(count > 0, distance, jnp.inf), 1)
  weight = jnp.where(
    total > 0, weight / jnp.maximum(total, 1e-6), jax.nn.one_hot(nearest, len(count))
  )
  return jnp.tensordot(weight, gaussian_smooth(sums * per_count, smooth), 1)


def look_up(
  moments: Moments, position: Array, smooth: float = 1.0
) -> tuple[Array, Array]:
  """Computes the mean and the variance of each voxel for slices of given heights.

  Both are from the means of x and of x^2, see `mean_of`.

  Args:
    moments: Sums from `observe`, with squares.
    position: Slice heights [B] in [0, 1].
    smooth: Standard deviation in voxels of the Gaussian that smooths both means.

  Returns:
    Mean and variance, each [B, *S, C].

  Examples:
    >>> images = jnp.array([1.0, 3.0]).reshape(2, 1, 1, 1)
    >>> moments = observe(empty(1, (1, 1), 1), images, jnp.zeros(2), jnp.ones(2))
    >>> mean, variance = look_up(moments, jnp.zeros(1), smooth=0)
    >>> mean.ravel().tolist(), variance.ravel().tolist()
    ([2.0], [1.0])
  """
  mean, square = (mean_of(moments, position, smooth, x) for x in ('sum', 'square'))
  return mean, jnp.maximum(square - mean**2, 0.0)
