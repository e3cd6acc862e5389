"""Dropout acts in training, and at inference with `bayesian`; it has no parameters."""

import jax
import numpy as np
import pytest

from tests.method_table import ROWS, make_batch
from uad_jax.registry import named

SHAPE = (16, 16)
NAMES = (
  'vae', 'cevae', 'gmvae', 'gmvae spatial', 'scale_space_ae', 'cae', 'aae', 'caae',
  'fanogan', 'anovaegan',
)  # fmt: skip


def make(name, **options):
  name, _, bottleneck = name.partition(' ')
  extra = {'bottleneck': bottleneck} if bottleneck else {}
  return named('methods', name)(SHAPE, **{**ROWS[name][1], **extra, **options})


@pytest.mark.parametrize('name', NAMES)
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


@pytest.mark.parametrize('name', NAMES)
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
