import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from jax.test_util import check_grads

from uad_jax.nets.layers import conv_doubling, conv_kernels

# Below and above the size at which formulations change, square and not, thin, 3-D.
SHAPES = [(6, 4), (9, 8), (1, 70), (3, 4, 2), (5, 4, 6)]


def random_case(shape, features_in=3, features_out=5, size=3, seed=0):
  rng = np.random.default_rng(seed)
  x = rng.normal(size=(2, *shape, features_in)).astype('float32')
  kernel = rng.normal(size=(*(size,) * len(shape), features_in, features_out))
  return x, kernel.astype('float32')


def correlate(x, kernel):
  """Oracle: scipy.signal.correlate over each pair of channels, zeros around."""
  full = np.zeros((*x.shape[:-1], kernel.shape[-1]))
  for b in range(x.shape[0]):
    for i in range(kernel.shape[-2]):
      for o in range(kernel.shape[-1]):
        full[b, ..., o] += scipy.signal.correlate(
          x[b, ..., i], kernel[..., i, o], mode='same'
        )
  return full


@pytest.mark.parametrize('shape', [(9, 8), (5, 4, 6)])
@pytest.mark.parametrize('features', [(1, 5), (6, 2), (6, 5)])
@pytest.mark.parametrize('size', [1, 3])
def test_conv_is_correlation(shape, features, size):
  x, kernel = random_case(shape, *features, size)
  want = correlate(x, kernel)
  np.testing.assert_allclose(conv_kernels.conv(x, kernel), want, atol=2e-4)
  # With a stride the even voxels are kept (PyTorch's padding, not XLA's).
  even = (slice(None), *(slice(None, None, 2) for _ in shape))
  strided = conv_kernels.conv(x, kernel, stride=2)
  np.testing.assert_allclose(strided, want[even], atol=2e-4)


@pytest.mark.parametrize('shape', SHAPES)
def test_upsample_conv_is_resize_then_conv(shape):
  x, kernel = random_case(shape)
  fine = (2, *(2 * n for n in shape), 3)
  # Oracle: jax.image.resize, and scipy.signal.correlate with zeros around.
  want = correlate(np.asarray(jax.image.resize(x, fine, 'linear')), kernel)
  np.testing.assert_allclose(conv_doubling.upsample_conv(x, kernel), want, atol=1e-4)


@pytest.mark.parametrize('shape', SHAPES)
def test_conv_transpose_is_its_definition(shape):
  x, kernel = random_case(shape)
  # Oracle: the sum that defines it, y[2 i + k - 1] += x[i] w[k].
  want = np.zeros((2, *(2 * n + 1 for n in shape), 5))
  for tap in np.ndindex(*(3,) * len(shape)):
    place = (
      slice(None),
      *(slice(k, k + 2 * n, 2) for k, n in zip(tap, shape, strict=True)),
    )
    want[place] += x @ kernel[tap]
  inside = (slice(None), *(slice(1, None) for _ in shape))
  got = conv_doubling.conv_transpose(x, kernel)
  np.testing.assert_allclose(got, want[inside], atol=1e-4)


@pytest.mark.parametrize('shape', [(3, 4), (1, 70), (3, 5, 5)])
@pytest.mark.parametrize(
  ('function', 'features'),
  [
    (conv_kernels.conv, (2, 2)),  # few channels in: patches
    (conv_kernels.conv, (6, 2)),  # few channels out: the cotangent is shifted
    (lambda x, k: conv_kernels.conv(x, k, 2), (6, 5)),
    (conv_doubling.upsample_conv, (2, 3)),
    (conv_doubling.conv_transpose, (2, 3)),
  ],
)
def test_derivatives(function, features, shape):
  """Each is linear in image and kernel: the transpose is compared with the primal."""
  x, kernel = random_case(shape, *features)
  y, vjp = jax.vjp(jax.jit(function), jnp.asarray(x), jnp.asarray(kernel))
  g = np.random.default_rng(1).normal(size=y.shape).astype('float32')
  x_bar, kernel_bar = vjp(g)
  other_x, other_kernel = random_case(shape, *features, seed=2)
  for ours, want in (
    (np.vdot(x_bar, other_x), np.vdot(g, function(other_x, kernel))),
    (np.vdot(kernel_bar, other_kernel), np.vdot(g, function(x, other_kernel))),
  ):
    np.testing.assert_allclose(ours, want, rtol=2e-3, atol=2e-2)


def test_check_grads():
  x, kernel = random_case((3, 23), 5, 2)
  for function in (conv_kernels.conv, conv_doubling.conv_transpose):
    check_grads(jax.jit(function), (x, kernel), 1, ('rev',), atol=2e-2, rtol=2e-2)
