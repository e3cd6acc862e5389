import jax
import numpy as np
import optax
import scipy.stats

from tests.method_table import make_batch
from uad_jax.methods import aae, cae
from uad_jax.update import due, init_state, make_update

SHAPE = (16, 16)


def wasserstein(a, b):
  """Oracle: the distance of two samples of one variable, from their sorted values."""
  return np.abs(np.sort(a) - np.sort(b)).mean()


def test_the_codes_come_closer_to_the_prior(key):
  method = aae.make(
    (8, 8), widths=(8,), latent=2, critic=(16, 16), critic_steps=10, dropout=0.0
  )
  batch = make_batch((8, 8), 16)
  rates = {'critic': 1e-2, 'generator': 5e-3, 'autoencoder': 1e-4}
  tx = {name: optax.adam(rate, b1=0.5, b2=0.9) for name, rate in rates.items()}
  state = jax.jit(lambda k: init_state(method, tx, k, batch))(key)
  dense = state.params['encoder']['ToVector_0']['Dense_0']
  dense['bias'] = dense['bias'] + 2.0  # the codes begin beside the prior
  infer = jax.jit(method.infer)
  prior = scipy.stats.norm.ppf((np.arange(16) + 0.5) / 16)

  def distance(state):
    code = np.asarray(infer(state.params, state.stats, batch, key)['latent'])
    return np.mean([wasserstein(values, prior) for values in code.T])

  before, ends = distance(state), (300,)
  update = make_update(method, tx, ends)
  for step in range(300):
    # The critic begins with a lead: it has to know where the prior lies.
    names = due(method.objectives, ends, step) if step >= 150 else ('critic',)
    state, _ = update(names)(state, {'train': batch}, key)
  assert distance(state) < 0.75 * before, (before, distance(state))


def test_the_deceiving_encoder_does_not_move_the_decoder():
  method = aae.make(SHAPE, widths=(8, 8), latent=2)
  trains = {name: objective.trains for name, objective in method.objectives.items()}
  assert trains == {
    'autoencoder': ('encoder', 'decoder'),
    'critic': ('critic',),
    'generator': ('encoder',),
  }


def test_the_constrained_ones_loss_is_the_constrained_auto_encoders(key):
  batch, options = make_batch(SHAPE, 3), dict(widths=(8, 8), latent=2, dropout=0.3)
  batch['weight'][2] = 0
  for consistency in (0.0, 0.7):
    method = aae.make(SHAPE, **options, consistency=consistency)
    other = cae.make(SHAPE, **options, consistency=consistency)
    params, stats = jax.jit(method.init)(key, batch)

    def loss(objectives, params=params, stats=stats):
      run = jax.jit(
        lambda p: objectives['autoencoder'].loss(p, stats, batch, key, 0)[0]
      )
      return float(run(params))

    # Oracle: the other method, which has no critic.
    found, want = loss(method.objectives), loss(other.objectives)
    np.testing.assert_allclose(found, want, rtol=1e-6)
