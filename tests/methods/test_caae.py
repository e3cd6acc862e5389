import jax
import numpy as np
import pytest

from tests.method_table import make_batch
from uad_jax.methods import caae

SHAPE = (16, 16)
TINY = dict(widths=(8, 8), latent=3, critic=(8,))


@pytest.mark.parametrize('architecture', ['study', 'chen2018'])
def test_the_loss_is_chens_formula(architecture, key):
  method = caae.make(SHAPE, architecture=architecture, **TINY, consistency=0.7)
  batch = make_batch(SHAPE)
  params, stats = jax.jit(method.init)(key, batch)
  loss = jax.jit(method.objectives['autoencoder'].loss)
  value, (_, terms) = loss(params, stats, batch, key, 0)
  # Oracle: numpy on what inference gives; E(x') is the code of the reconstruction.
  infer = jax.jit(method.infer)
  once = infer(params, stats, batch, key)
  twice = infer(params, stats, {**batch, 'image': once['reconstruction']}, key)
  error = np.asarray(batch['image'] - once['reconstruction'], np.float64)
  l2 = np.sqrt(((error * batch['mask']) ** 2).sum((1, 2, 3))).mean()
  gap = np.asarray(once['latent'] - twice['latent'], np.float64)
  gap = (gap**2).sum(1).mean()
  np.testing.assert_allclose(terms['l2'], l2, rtol=1e-4)
  np.testing.assert_allclose(terms['consistency'], gap, rtol=1e-3)
  np.testing.assert_allclose(value, l2 + 0.7 * gap, rtol=1e-3)


def test_the_critic_is_the_published_one():
  batch = make_batch((64, 64), 1)
  method = caae.make((64, 64))
  params, _ = jax.eval_shape(method.init, jax.random.key(0), batch)
  # By hand: 128 values, 200-400-1.
  assert sum(x.size for x in jax.tree.leaves(params['critic'])) == 106_601
  every = {name: objective.every for name, objective in method.objectives.items()}
  assert every == {'autoencoder': 20, 'critic': 1, 'generator': 20}


def test_the_gradient_is_finite_at_a_perfect_reconstruction(key):
  method = caae.make(SHAPE, architecture='study', **TINY)
  batch = make_batch(SHAPE)
  batch['image'] = np.zeros_like(batch['image'])
  params, stats = jax.jit(method.init)(key, batch)
  params = jax.tree.map(lambda x: 0 * x, params)
  loss = method.objectives['autoencoder'].loss
  slope = jax.jit(jax.grad(lambda p: loss(p, stats, batch, key, 0)[0]))(params)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(slope))


def test_an_unknown_architecture_is_told():
  with pytest.raises(ValueError, match="unknown architecture 'x'; there are study"):
    caae.make(SHAPE, architecture='x')
