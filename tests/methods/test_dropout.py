"""Dropout acts in training, and at inference with `bayesian`; learned rates."""

import jax
import numpy as np
import pytest
from scipy import stats

from tests.long_variants import all_but
from tests.method_table import ROWS, make_batch
from uad_jax.nets.layers.dropout import ConcreteDropout, rate_entropy
from uad_jax.registry import named

SHAPE = (16, 16)
NAMES = (
  'vae', 'cevae', 'gmvae', 'gmvae spatial', 'scale_space_ae', 'cae', 'aae', 'caae',
  'fanogan', 'anovaegan',
)  # fmt: skip
USUAL = ('vae', 'gmvae spatial', 'cae')


def make(name, **options):
  name, _, bottleneck = name.partition(' ')
  extra = {'bottleneck': bottleneck} if bottleneck else {}
  return named('methods', name)(SHAPE, **{**ROWS[name][1], **extra, **options})


@pytest.mark.parametrize('name', all_but(NAMES, USUAL))
def test_bayesian_inference_draws_by_the_key_and_plain_inference_does_not(name, key):
  batch, keys = make_batch(SHAPE, 2), jax.random.split(key, 2)
  plain, bayesian = make(name, dropout=0.5), make(name, dropout=0.5, bayesian=True)
  params, stats = jax.jit(plain.init)(key, batch)

  def draws(method):
    def reconstruct(key):
      return method.infer(params, stats, batch, key)['reconstruction']

    reconstruct = jax.jit(reconstruct)
    return [np.asarray(reconstruct(k)) for k in (*keys, keys[0])]

  one, other, again = draws(bayesian)
  np.testing.assert_array_equal(one, again)
  assert np.isfinite(one).all() and np.abs(one - other).max() > 1e-6
  one, other, _ = draws(plain)
  np.testing.assert_array_equal(one, other)
  without = draws(make(name, dropout=0.0))[0]
  np.testing.assert_array_equal(one, without)


@pytest.mark.parametrize('name', all_but(NAMES, USUAL))
def test_dropout_changes_the_training_and_not_the_parameters(name, key):
  batch = make_batch(SHAPE, 2)
  losses, first = [], []
  for dropout in (0.0, 0.5):
    method = make(name, dropout=dropout)
    params, stats = jax.jit(method.init)(key, batch)
    first.append(params)
    # Of these objectives only the first reconstructs; the GAN's last one does.
    objective = list(method.objectives.values())[-1 if name == 'fanogan' else 0]
    loss = jax.jit(lambda p, s, f=objective.loss: f(p, s, batch, key, 0)[0])
    losses.append(float(loss(params, stats)))
  jax.tree.map(np.testing.assert_array_equal, *first)
  assert np.isfinite(losses).all() and losses[0] != losses[1]


@pytest.mark.parametrize('name', [*NAMES, 'ae', 'skip_ae'])
def test_bayesian_inference_without_dropout_is_refused(name):
  with pytest.raises(ValueError, match='bayesian inference needs a dropout above 0'):
    make(name, dropout=0.0, bayesian=True)


def test_concrete_dropout_drops_at_its_rate(key):
  layer, ones = ConcreteDropout(0.3, deterministic=False), np.ones((400, 400))
  x, variables = layer.init_with_output({'params': key, 'dropout': key}, ones)
  assert np.mean(np.asarray(x) < 0.5 / 0.7) == pytest.approx(0.3, abs=0.01)
  assert np.mean(x) == pytest.approx(1.0, abs=0.02)  # the mean is kept
  still = ConcreteDropout(0.3, deterministic=True).apply(variables, ones)
  np.testing.assert_array_equal(still, ones)
  rate = jax.nn.sigmoid(variables['params']['rate_logit'])
  entropy = stats.bernoulli.entropy(float(rate))  # oracle: scipy
  assert float(rate_entropy(variables)) == pytest.approx(entropy, rel=1e-5)


@pytest.mark.slow
def test_a_learned_rate_falls_by_the_data_and_rises_by_its_entropy(key):
  batch, rates = make_batch(SHAPE, 2), {}
  for concrete in (1e-6, 100.0):
    method = make('ae', dropout=0.2, concrete=concrete)
    params, _ = method.init(key, batch)
    loss = method.objectives['autoencoder'].loss
    grads = jax.jit(jax.grad(lambda p, f=loss: f(p, {}, batch, key, 0)[0]))(params)
    rates[concrete] = float(grads['autoencoder']['ConcreteDropout_0']['rate_logit'])
  # The gradient of the entropy with respect to the logit is -logit p (1 - p).
  want = -100.0 * np.log(4) * 0.16
  assert rates[100.0] - rates[1e-6] == pytest.approx(want, rel=1e-3)


def test_what_the_rate_and_the_likelihood_need():
  with pytest.raises(ValueError, match='ae: dropout is 0.0; allowed is .* 0 excluded'):
    make('ae', concrete=0.1)
  with pytest.raises(ValueError, match='ae: concrete is 0; allowed'):
    make('ae', concrete=0, dropout=0.1)
  with pytest.raises(ValueError, match="'study' has neither"):
    make('ae', likelihood='laplace', architecture='study')
  with pytest.raises(ValueError, match="unknown likelihood 'cauchy'; there are gauss"):
    make('vae', likelihood='cauchy')
  with pytest.raises(ValueError, match='architecture with a likelihood'):
    make('vae', likelihood='laplace', architecture='study')


@pytest.mark.parametrize('name', ['ae', 'vae'])
def test_the_likelihood_changes_the_loss(name, key):
  batch, values = make_batch(SHAPE, 2), []
  for likelihood in (None, 'gaussian', 'beta', 'laplace'):
    method = make(name, likelihood=likelihood)
    params, _ = method.init(key, batch)
    (objective,) = method.objectives.values()
    values.append(float(objective.loss(params, {}, batch, key, 0)[0]))
  assert values[0] == values[{'ae': 1, 'vae': 2}[name]]
  assert len(set(values)) == 3 and np.isfinite(values).all()
