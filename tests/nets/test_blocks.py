import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uad_jax.nets.blocks import BatchNorm, Block, Conv
from uad_jax.nets.deformable import Decoder, Deformer, Encoder


def normalise(x, weight, train=True):
  norm = BatchNorm()
  variables = norm.init(jax.random.key(0), x, weight, False)
  return norm.apply(variables, x, weight, train, mutable=['batch_stats'])


def start(module, key, *inputs):
  return jax.jit(lambda *x: module.init_with_output(key, *x, False))(*inputs)


def test_batch_norm_is_numpys():
  x = np.random.default_rng(0).normal(3, 2, size=(4, 5, 6, 3)).astype('float32')
  y, moved = normalise(x, np.ones(4, 'float32'))
  mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
  np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5), atol=1e-4)
  moved = moved['batch_stats']
  np.testing.assert_allclose(moved['mean'], 0.1 * mean, rtol=1e-4)
  unbiased = x.var((0, 1, 2), ddof=1)
  np.testing.assert_allclose(moved['var'], 0.9 + 0.1 * unbiased, rtol=1e-4)


def test_padding_does_not_enter_the_statistics():
  x = np.random.default_rng(0).normal(size=(4, 5, 6, 3)).astype('float32')
  weight = np.array([1, 1, 0, 1], 'float32')
  odd = x.copy()
  odd[2] = 1e3
  y, moved = normalise(odd, weight)
  want, want_moved = normalise(x[weight == 1], np.ones(3, 'float32'))
  np.testing.assert_allclose(y[weight == 1], want, atol=1e-4)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), moved, want_moved
  )


def test_a_step_without_examples_keeps_the_averages():
  x = np.ones((2, 3, 3, 2), 'float32')
  y, moved = normalise(x, np.zeros(2, 'float32'))
  assert np.isfinite(y).all()
  np.testing.assert_array_equal(moved['batch_stats']['mean'], 0)
  np.testing.assert_array_equal(moved['batch_stats']['var'], 1)


def test_evaluation_uses_the_averages():
  x = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype('float32')
  y, _ = normalise(x, np.ones(2, 'float32'), train=False)
  np.testing.assert_allclose(y, x / np.sqrt(1 + 1e-5), rtol=1e-5)


def test_constant_features_have_finite_gradients():
  x = jnp.full((2, 4, 4, 3), 5.0)
  grad = jax.grad(lambda x: normalise(x, jnp.ones(2))[0].sum())(x)
  assert jnp.isfinite(grad).all()


@pytest.mark.parametrize(
  ('resample', 'factor'), [('same', 1), ('down', 0.5), ('up', 2), ('transpose', 2)]
)
@pytest.mark.parametrize('shape', [(4, 6), (2, 4, 2)])
def test_block_changes_the_grid(resample, factor, shape):
  x = np.random.default_rng(0).normal(size=(2, *shape, 3)).astype('float32')
  block, weight = Block(5, resample), np.ones(2, 'float32')
  variables = block.init(jax.random.key(0), x, weight, False)
  y, raw = block.apply(variables, x, weight, False)
  assert y.shape == raw.shape == (2, *(int(factor * n) for n in shape), 5)
  # At the start the averages are 0 and 1: the block is the swish of the convolution.
  np.testing.assert_allclose(y, jax.nn.silu(raw / np.sqrt(1 + 1e-5)), atol=1e-5)


def test_start_of_a_convolution():
  x = np.zeros((1, 8, 8, 16), 'float32')
  params = Conv(64).init(jax.random.key(0), x)['params']
  bound = (9 * 16) ** -0.5
  for values in params.values():
    assert 0.9 * bound < np.abs(values).max() <= bound


@pytest.mark.parametrize('shape', [(16, 8), (8, 8, 16)])
def test_deformable_networks_fit_together(shape):
  d, widths = len(shape), (2, 3, 4)
  x = np.random.default_rng(0).uniform(size=(2, *shape, 1)).astype('float32')
  weight, key = np.ones(2, 'float32'), jax.random.key(0)
  (z, encoded), _ = start(Encoder(widths), key, x, weight)
  assert z.shape == (2, *(n // 8 for n in shape), 4)
  (prior, decoded), _ = start(Decoder(1, widths), key, z, weight)
  assert prior.shape == x.shape and 0 <= prior.min() <= prior.max() <= 1
  for i, width in enumerate(widths):
    assert encoded[i].shape == (2, *(n // 2 ** (i + 1) for n in shape), width)
    assert decoded[i].shape == (2, *(n // 2**i for n in shape), width)
  deformer = Deformer(features=4, taps=2)
  velocity, _ = start(deformer, key, encoded, decoded, weight)
  assert velocity.shape == (2, *shape, d)
  assert 0 < np.abs(velocity).max() < 1e-2  # near the identity
