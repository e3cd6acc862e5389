"""Code with an autoregressive density: its loss, its outputs, what it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.method_table import make_batch
from uad_jax.methods import lsa
from uad_jax.update import init_state, make_update

SHAPE = (16, 16)
TINY = dict(widths=(8, 8), latent=4, estimator=(8,), bins=10)


@pytest.mark.parametrize('code', lsa.CODES)
def test_the_loss_is_error_plus_surprisal(code, key):
  batch = make_batch(SHAPE)
  method = lsa.make(SHAPE, **TINY, code=code, weight=0.3)
  params, stats = jax.jit(method.init)(key, batch)
  value, _ = jax.jit(method.objectives['autoencoder'].loss)(
    params, stats, batch, key, 0
  )
  outputs = jax.jit(method.infer)(params, stats, batch, key)
  assert float(outputs['latent'].min()) > 0 and float(outputs['latent'].max()) < 1
  error = (batch['image'] - outputs['reconstruction']) ** 2 * batch['mask']
  by_scan = np.float64(error.sum((1, 2, 3))) - 0.3 * np.float64(outputs['log_prob'])
  weight = np.asarray(batch['weight'])
  assert float(value) == pytest.approx(
    (by_scan * weight).sum() / weight.sum(), rel=1e-4
  )
  everywhere = {**batch, 'mask': jnp.ones_like(batch['mask'])}
  improbability = jax.jit(method.infer)(params, stats, everywhere, key)['improbability']
  if code == 'vector':
    expected = np.broadcast_to(
      -np.asarray(outputs['log_prob'])[:, None, None, None], improbability.shape
    )
    np.testing.assert_allclose(improbability, expected, rtol=1e-3)
  else:
    places = outputs['latent'].shape[1] * outputs['latent'].shape[2]
    means = improbability.mean((1, 2, 3)) * places
    np.testing.assert_allclose(means, -outputs['log_prob'], rtol=0.05)


def test_the_density_learns_the_codes():
  batch, key = make_batch(SHAPE), jax.random.key(0)
  method = lsa.make(SHAPE, **TINY)
  tx = {'autoencoder': optax.adam(3e-3)}
  state = jax.jit(lambda k: init_state(method, tx, k, batch))(key)
  update = make_update(method, tx, (10**4,))(('autoencoder',))
  first = None
  for _ in range(60):
    state, metrics = update(state, {'train': batch}, key)
    first = first or {k: float(v) for k, v in metrics.items()}
  assert metrics['autoencoder/nats'] < 0.8 * first['autoencoder/nats']


@pytest.mark.parametrize(
  'options, sentence',
  [
    (dict(code='graph'), "lsa: unknown code 'graph'"),
    (dict(bins=1), 'lsa: bins is 1; allowed is'),
    (dict(weight=-1.0), 'lsa: weight is -1.0; allowed is'),
  ],
)
def test_a_mistake_is_one_sentence(options, sentence):
  with pytest.raises(ValueError, match=sentence):
    lsa.make(SHAPE, **{**TINY, **options})
