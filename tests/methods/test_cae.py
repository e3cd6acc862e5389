import jax
import numpy as np

from tests.method_table import make_batch
from uad_jax.methods import cae

SHAPE = (16, 16)
TINY = dict(widths=(8, 8), latent=3, dropout=0.0)


def test_the_published_number_of_parameters():
  batch = make_batch((128, 128), 1)
  params, _ = jax.eval_shape(cae.make((128, 128)).init, jax.random.key(0), batch)
  # The study's dense auto-encoder (method card 1.1); the constraint adds none.
  assert sum(x.size for x in jax.tree.leaves(params)) == 1_625_777


def test_the_loss_is_the_formula_of_the_outputs(key):
  method, batch = cae.make(SHAPE, **TINY, consistency=0.7), make_batch(SHAPE)
  params, stats = jax.jit(method.init)(key, batch)
  loss = method.objectives['autoencoder'].loss
  value, (_, terms) = jax.jit(loss)(params, stats, batch, key, 0)
  # Oracle: numpy on what inference gives; E(x') is the code of the reconstruction.
  infer = jax.jit(method.infer)
  once = infer(params, stats, batch, key)
  twice = infer(params, stats, {**batch, 'image': once['reconstruction']}, key)
  error = np.asarray(batch['image'] - once['reconstruction'], np.float64)
  mse = (error**2 * batch['mask']).sum() / batch['mask'].sum()
  gap = np.mean(np.asarray(once['latent'] - twice['latent'], np.float64) ** 2)
  np.testing.assert_allclose(terms['mse'], mse, rtol=1e-4)
  np.testing.assert_allclose(terms['consistency'], gap, rtol=1e-4)
  np.testing.assert_allclose(value, mse + 0.7 * gap, rtol=1e-4)


def test_the_constraint_moves_both_networks(key):
  method, batch = cae.make(SHAPE, **TINY), make_batch(SHAPE)
  params, stats = jax.jit(method.init)(key, batch)

  def gap(params):
    loss = method.objectives['autoencoder'].loss
    return loss(params, stats, batch, key, 0)[1][1]['consistency']

  slopes = jax.jit(jax.grad(gap))(params)
  for name in ('encoder', 'decoder'):
    assert max(float(abs(x).max()) for x in jax.tree.leaves(slopes[name])) > 1e-6


def test_dropout_is_of_training_alone(key):
  method = cae.make(SHAPE, **{**TINY, 'dropout': 0.5})
  batch = make_batch(SHAPE)
  params, stats = jax.jit(method.init)(key, batch)
  loss = jax.jit(
    lambda k: method.objectives['autoencoder'].loss(params, stats, batch, k, 0)[0]
  )
  a, b = jax.random.split(key)
  assert loss(a) != loss(b)
  infer = jax.jit(lambda k: method.infer(params, stats, batch, k)['reconstruction'])
  np.testing.assert_array_equal(infer(a), infer(b))
