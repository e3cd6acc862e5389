"""Architectures of the auto-encoder, its dropout, and the voxels its loss ignores."""

import jax
import numpy as np
import pytest

from tests.long_variants import all_but
from tests.method_table import make_batch
from uad_jax.methods import ae

TINY = dict(widths=(8, 16), latent=4, architecture='study')


def count(method, shape):
  params, _ = jax.eval_shape(method.init, jax.random.key(0), make_batch(shape, 1))
  return sum(x.size for x in jax.tree.leaves(params))


@pytest.mark.parametrize(
  'bottleneck, golden', [('dense', 1_625_777), ('spatial', 1_358_241)]
)
def test_the_studys_parameter_counts(bottleneck, golden):
  # Golden: Baur et al. 2021, counted from the layers at 128 x 128 (method card 1.1).
  method = ae.make((128, 128), latent=128, bottleneck=bottleneck, architecture='study')
  assert count(method, (128, 128)) == golden


@pytest.mark.parametrize('bottleneck', ['dense', 'spatial'])
@pytest.mark.parametrize('architecture', ['default', 'study'])
@pytest.mark.parametrize('shape', [(16, 16), (8, 16, 8)])
def test_every_bottleneck_in_every_dimension(shape, architecture, bottleneck):
  method = ae.make(
    shape, **{**TINY, 'architecture': architecture}, bottleneck=bottleneck
  )
  batch, key = make_batch(shape, 2), jax.random.key(0)

  def shapes(key):
    params, stats = method.init(key, batch)
    value, _ = method.objectives['autoencoder'].loss(params, stats, batch, key, 0)
    return value, method.infer(params, stats, batch, key)

  value, outputs = jax.eval_shape(shapes, key)
  assert value.shape == ()
  assert outputs['reconstruction'].shape == batch['image'].shape
  assert (outputs['latent'].ndim == 2) == (bottleneck == 'dense')


def test_the_studys_loss_is_the_sum_over_the_brain_of_real_examples(key):
  shape = (16, 16)
  method, batch = ae.make(shape, **TINY), make_batch(shape, 3)
  batch['weight'][2] = 0
  params, stats = jax.jit(method.init)(key, batch)
  found, _ = jax.jit(method.objectives['autoencoder'].loss)(
    params, stats, batch, key, 0
  )
  restored = jax.jit(method.infer)(params, stats, batch, key)['reconstruction']
  # Oracle: numpy over the brain's voxels of the first two scans.
  error = np.abs(batch['image'] - np.asarray(restored)) * batch['mask']
  np.testing.assert_allclose(found, error[:2].sum() / 2, rtol=1e-4)


@pytest.mark.parametrize('architecture', ['default', 'study'])
@pytest.mark.parametrize('bottleneck', ['dense', 'spatial'])
def test_padding_and_background_have_no_influence(architecture, bottleneck, key):
  shape = (16, 16)
  options = {**TINY, 'architecture': architecture, 'bottleneck': bottleneck}
  method, batch = ae.make(shape, **options), make_batch(shape, 2)
  params, stats = jax.jit(method.init)(key, batch)
  loss = jax.jit(method.objectives['autoencoder'].loss)
  odd = {name: np.concatenate([x, x[:1]]) for name, x in batch.items()}
  odd['image'][2] += 7.0
  odd['weight'][2] = 0
  expected, (_, parts) = loss(params, stats, batch, key, 0)
  np.testing.assert_allclose(loss(params, stats, odd, key, 0)[0], expected, rtol=1e-5)
  # Oracle: numpy over the brain, a mean over its voxels or a sum over a scan's.
  restored = jax.jit(method.infer)(params, stats, batch, key)['reconstruction']
  error = (np.abs(batch['image'] - np.asarray(restored)) * batch['mask']).sum()
  count = len(batch['mask']) if architecture == 'study' else batch['mask'].sum()
  np.testing.assert_allclose(parts['l1'], error / count, rtol=1e-4)


@pytest.mark.parametrize('architecture', ['default', 'study'])
@pytest.mark.parametrize('bottleneck', all_but(['dense', 'spatial'], ['spatial']))
def test_dropout_is_on_at_inference_only_if_bayesian(architecture, bottleneck):
  shape, batch = (16, 16), make_batch((16, 16), 2)
  options = {**TINY, 'architecture': architecture, 'bottleneck': bottleneck}
  a, b = jax.random.split(jax.random.key(3))
  made = {
    on: ae.make(shape, **options, dropout=0.5, bayesian=on) for on in (False, True)
  }
  params, stats = jax.jit(made[True].init)(a, batch)
  found = {
    on: [
      np.asarray(jax.jit(m.infer)(params, stats, batch, k)['reconstruction'])
      for k in (a, b, a)
    ]
    for on, m in made.items()
  }
  np.testing.assert_array_equal(found[False][0], found[False][1])
  assert not np.allclose(found[True][0], found[True][1], atol=1e-6)
  np.testing.assert_array_equal(found[True][0], found[True][2])
  loss = jax.jit(made[False].objectives['autoencoder'].loss)
  assert (
    loss(params, stats, batch, a, 0)[0] != loss(params, stats, batch, b, 0)[0]
  )  # and in training always


@pytest.mark.parametrize(
  'wrong, sentence',
  [
    (dict(bottleneck='wide'), "unknown bottleneck 'wide'; there are dense, spatial"),
    (dict(architecture='unet'), "unknown architecture 'unet'; there are default"),
    (dict(bayesian=True), 'bayesian inference needs a dropout above 0'),
  ],
)
def test_what_is_not_possible_is_told(wrong, sentence):
  with pytest.raises(ValueError, match=sentence):
    ae.make((16, 16), **wrong)
