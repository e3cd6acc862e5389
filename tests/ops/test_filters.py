import itertools

import jax
import numpy as np
import pytest
import scipy.ndimage

from uad_jax.ops import filters

SHAPES = [(16, 18), (9, 8, 10)]


def noise(shape, seed=0, channels=1):
  rng = np.random.default_rng(seed)
  return rng.uniform(size=(2, *shape, channels)).astype('float32')


@pytest.mark.parametrize('shape', SHAPES)
def test_smoothing_is_scipys(shape):
  x = noise(shape)
  sigma = (0, *(1.5 for _ in shape), 0)
  # Oracle: scipy.ndimage.gaussian_filter, which ends its kernel at 4 sigma too.
  want = scipy.ndimage.gaussian_filter(x, sigma, mode='nearest')
  np.testing.assert_allclose(
    jax.jit(filters.gaussian_smooth, static_argnums=1)(x, 1.5), want, atol=1e-5
  )
  np.testing.assert_array_equal(filters.gaussian_smooth(x, 0), x)


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('radius', [0, 1, 2])
def test_dilation_is_scipys(shape, radius):
  x = noise(shape)
  size = (1, *(2 * radius + 1 for _ in shape), 1)
  # Oracle: scipy.ndimage.grey_dilation.
  want = scipy.ndimage.grey_dilation(x, size, mode='nearest')
  np.testing.assert_array_equal(filters.dilate(x, radius), want)


@pytest.mark.parametrize('shape', SHAPES)
def test_box_sum(shape):
  x = noise(shape, channels=2)
  padded = np.pad(x, [(0, 0)] + [(2, 2)] * len(shape) + [(0, 0)])
  axes = tuple(range(1, 1 + len(shape)))
  # Oracle: numpy's sliding windows.
  windows = np.lib.stride_tricks.sliding_window_view(padded, (5,) * len(shape), axes)
  want = windows.sum(tuple(range(-len(shape), 0)))
  np.testing.assert_allclose(filters.box_sum(x, 5), want, rtol=1e-5)


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('size', [1, 3, 5])
def test_the_median_is_scipys(shape, size):
  x = noise(shape)
  # Oracle: scipy.ndimage.median_filter.
  sizes = (1, *(size for _ in shape), 1)
  want = scipy.ndimage.median_filter(x, sizes, mode='nearest')
  np.testing.assert_array_equal(filters.median(x, size), want)


@pytest.mark.parametrize('n', [1, 2, 3, 5, 9, 12])
def test_comparators_sort(n):
  # A network that sorts all zeros and ones sorts all numbers (Knuth, volume 3).
  values = np.array(list(itertools.product((0, 1), repeat=n))).T
  for i, j in filters.comparators(n):
    values[[i, j]] = np.sort(values[[i, j]], 0)
  assert (np.diff(values, axis=0) >= 0).all()


def test_an_even_median_is_refused():
  for size in (0, 2, -1):
    with pytest.raises(ValueError, match=f'has size {size}; allowed are 1, 3, 5'):
      filters.median(noise((4, 4)), size)
