import jax
import numpy as np
import pytest

from uad_jax.nets.morphaeus import Block, Conv, Decoder, Deformer, Encoder


def start(module, key, *inputs):
  return jax.jit(lambda *x: module.init_with_output(key, *x, False))(*inputs)


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
