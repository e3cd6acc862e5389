"""Domain-adversarial training: schedule, gradients, and a domain that is forgotten."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.adapt.two_domains import batches, moved, steps, tiny
from uad_jax.adapt import dann
from uad_jax.method import Method, Objective
from uad_jax.ops.losses import example_mean


def test_the_reversal_grows_as_published():
  # Ganin et al. 2016: 2 / (1 + exp(-10 p)) - 1, here as tanh(5 p).
  for step in (0, 3, 50, 100, 500):
    expected = np.tanh(5 * min(step / 100, 1))
    assert float(dann.reversal(jnp.array(step), 100)) == pytest.approx(
      expected, abs=1e-6
    )


def test_the_encoder_ascends_the_loss_that_the_classifier_descends(key):
  plain, splits = tiny('ae'), batches()
  method = dann.make(weight=0.5, steps=10, objectives=('autoencoder',))(plain)
  params, stats = jax.jit(method.init)(key, splits['train'])

  @jax.jit
  def gradient(step):
    def loss(params):
      return method.objectives['dann_autoencoder'].loss(
        params, stats, splits, key, step
      )[0]

    return jax.grad(loss)(params)['autoencoder']

  far = jnp.array(10**6)  # the reversal has its final factor, 0.5
  off, on = gradient(jnp.array(0)), gradient(far)

  def entropy(params):
    """Cross entropy of the classifier, written anew."""
    total = 0.0
    for label, split in enumerate(('train', 'few_shot')):
      z = plain.infer(params, stats, splits[split], key)['latent'].mean((1, 2))
      for name in ('Dense_0', 'Dense_1', 'Dense_2'):
        layer = params['domain'][name]
        z = z @ layer['kernel'] + layer['bias'][None]
        z = jnp.maximum(z, 0) if name != 'Dense_2' else z
      total -= jax.nn.log_softmax(z)[:, label].mean() / 2
    return total

  expected = jax.jit(jax.grad(entropy))(params)['autoencoder']
  assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected)) > 1e-4
  jax.tree.map(
    lambda a, b, c: np.testing.assert_allclose(a - b, -0.5 * c, atol=2e-5),
    on,
    off,
    expected,
  )


def toy():
  """Method whose code is a linear map of two features; it restores the first."""

  def init(key, batch):
    return {'encoder': jnp.eye(2)}, {}

  def loss(params, stats, batch, key, step):
    z = batch['image'] @ params['encoder']
    error = (z[:, 0] - batch['image'][:, 0]) ** 2
    return example_mean(error, batch['weight']), (stats, {})

  def infer(params, stats, batch, key):
    return {'latent': batch['image'] @ params['encoder']}

  return Method(init, {'toy': Objective(loss, ('encoder',))}, infer)


def test_the_domain_is_hard_to_tell_after_training():
  rng = np.random.default_rng(0)
  images = rng.normal(0, 1, (2, 64, 2)).astype(np.float32)
  images[1, :, 1] += 4  # the second feature gives the domain away
  weight = np.ones(64, np.float32)
  splits = {
    split: {'image': image, 'weight': weight}
    for split, image in zip(('train', 'few_shot'), images, strict=True)
  }
  method = dann.make(steps=50, widths=(8,))(toy())
  states, history = steps(method, (300,), splits, jax.random.key(3), rate=0.02)

  def accuracy(state):
    """Of the nearest class mean, a classifier that nobody trained against."""
    z = images @ state.params['encoder']
    centres = z.mean(1)
    distance = np.linalg.norm(z[:, :, None] - centres[None, None], axis=-1)
    return np.mean(distance.argmin(-1) == np.arange(2)[:, None])

  assert accuracy(states[0]) > 0.9
  assert accuracy(states[-1]) < 0.7
  assert max(m['dann_domain/accuracy'] for m in history[:50]) > 0.9
  assert np.mean([m['dann_domain/accuracy'] for m in history[-50:]]) < 0.7
  assert history[-1]['dann_toy/source'] < 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
  ('name', 'objective'),
  [
    ('ae', 'autoencoder'),
    pytest.param('vae', 'vae', marks=pytest.mark.slow),
    pytest.param('dae_unc', 'prior', marks=pytest.mark.slow),
  ],
)
def test_three_steps_move_the_networks_and_keep_losses_finite(name, objective, key):
  plain = tiny(name)
  method = dann.make(steps=3, objectives=(objective,))(plain)
  states, history = steps(method, (3,), batches(), key)
  for metrics in history:
    assert all(np.isfinite(value) for value in metrics.values())
  networks = {'domain', *plain.objectives[objective].trains}
  assert moved(states[0], states[-1]) == networks


def test_the_classifier_alone_moves_by_its_objective(key):
  method = dann.make()(tiny('vae'))
  method = method._replace(objectives={'dann_domain': method.objectives['dann_domain']})
  states, _ = steps(method, (2,), batches(), key)
  assert moved(states[0], states[-1]) == {'domain'}


def test_impossible_options_and_methods_are_refused(key):
  with pytest.raises(ValueError, match='dann: weight is 0; allowed is a number above'):
    dann.make(weight=0)
  with pytest.raises(ValueError, match='dann: steps is 0; allowed is a whole number'):
    dann.make(steps=0)
  method = dann.make()(tiny('denoising_ae'))
  with pytest.raises(ValueError, match='dann: the method has no latent code'):
    jax.eval_shape(lambda key: method.init(key, batches()['train']), key)
