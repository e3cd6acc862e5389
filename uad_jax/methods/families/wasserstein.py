"""Functions for adversarial training by Wasserstein critics with a gradient penalty.

Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017. A critic D
rates latent vectors or images, high for real ones and low for fake ones.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from uad_jax.method import (
  Array,
  Batch,
  Bound,
  Key,
  Method,
  Metrics,
  Objective,
  Params,
)
from uad_jax.methods.families import latent_vector
from uad_jax.methods.families.latent_vector import Coder
from uad_jax.nets.critic import LatentCritic
from uad_jax.ops.losses import example_mean, per_example

Critic = Callable[[Array], Array]
"""[B, ...] -> ratings [B]; the rating of an example depends on no other example."""

BOUNDS = (
  Bound(
    'gradient_norm', 0.01, 10, 'a critic that its penalty does not hold', after=200
  ),
  Bound('gradient_norm', high=100, sign_of='divergence', fatal=True),
  Bound('wasserstein', -1e4, 1e4, 'divergence', fatal=True),
)
"""Bounds of a critic's objective; the gradient norm is near 1 when all is well."""


def gradient_penalty(
  critic: Critic, real: Array, fake: Array, key: Key
) -> tuple[Array, Array]:
  """Computes the gradient penalty of a critic and the norm of the critic's gradient.

  The penalty is (|grad D(x)| - 1)^2 and the norm |grad D(x)|, at x = real +
  e (fake - real) with e uniform in [0, 1), one for each example; the norm is taken over
  all axes of the example.

  Args:
    critic: D, from examples [B, ...] to ratings [B].
    real: Real examples [B, ...].
    fake: Fake examples [B, ...].
    key: Random key for e.

  Returns:
    Penalty and norm, each [B].
  """
  mix = per_example(jax.random.uniform(key, (len(real),)), real)
  between = real + mix * (fake - real)
  gradient = jax.grad(lambda x: critic(x).sum())(between)
  # The root's own gradient is finite where the critic is flat.
  norm = jnp.sqrt((gradient**2).sum(tuple(range(1, gradient.ndim))) + 1e-12)
  return (norm - 1) ** 2, norm


def critic_loss(
  critic: Critic, real: Array, fake: Array, weight: Array, penalty: float, key: Key
) -> tuple[Array, Metrics]:
  """Computes the Wasserstein loss of a critic with gradient penalty, and two metrics.

  The loss is E D(fake) - E D(real) + penalty E (|grad D| - 1)^2.

  Args:
    critic: D, from examples [B, ...] to ratings [B].
    real: Real examples [B, ...].
    fake: Fake examples [B, ...].
    weight: [B], 0 for padding.
    penalty: Weight of the gradient penalty.
    key: Random key for the points at which the gradient is taken.

  Returns:
    The loss, and the metrics 'wasserstein' (the critic's estimate of the distance,
    E D(real) - E D(fake)) and 'gradient_norm' (E |grad D|, near 1 when all is well).
  """
  excess, norm = gradient_penalty(critic, real, fake, key)
  distance = example_mean(critic(real) - critic(fake), weight)
  metrics = {'wasserstein': distance, 'gradient_norm': example_mean(norm, weight)}
  return penalty * example_mean(excess, weight) - distance, metrics


def adversarial_losses(
  draw: Callable[[Params, Batch, Key], tuple[Array, Array]],
  rate: Callable[[Params, Array], Array],
  penalty: float,
) -> tuple[Callable, Callable]:
  """Returns the loss functions of a critic and of the generator trained against it.

  Both have the signature of `Objective.loss`. The loss of the critic is `critic_loss`,
  the loss of the generator -E D(fake).

  Args:
    draw: (params, batch, key) -> real and fake examples, both [B, ...].
    rate: D, (params, examples [B, ...]) -> ratings [B].
    penalty: Weight of the gradient penalty.

  Returns:
    The loss of the critic and the loss of the generator.
  """

  def train_critic(params, stats, batch: Batch, key, step):
    key_draw, key_between = jax.random.split(key)
    loss, metrics = critic_loss(
      lambda x: rate(params, x),
      *draw(params, batch, key_draw),
      batch['weight'],
      penalty,
      key_between,
    )
    return loss, (stats, metrics)

  def train_generator(params, stats, batch: Batch, key, step):
    ratings = rate(params, draw(params, batch, key)[1])
    return -example_mean(ratings, batch['weight']), (stats, {})

  return train_critic, train_generator


def adversarial_autoencoder(
  net: Coder,
  reconstruct: Callable,
  critic: Sequence[int],
  critic_steps: int,
  penalty: float,
  bayesian: bool,
) -> Method:
  """Builds an adversarial auto-encoder from networks and a reconstruction loss.

  A critic pulls the latent vectors towards N(0, I). Objectives: 'autoencoder', which is
  `reconstruct`; 'critic', for which draws of N(0, I) are real, and the scans' latent
  vectors, before any dropout, fake; 'generator', which trains the encoder against the
  critic.

  Args:
    net: Encoder and decoder.
    reconstruct: Loss of the auto-encoder, as `Objective.loss`.
    critic: Widths of the critic's hidden layers.
    critic_steps: Steps of the critic for each step of the two other objectives.
    penalty: Weight of the critic's gradient penalty.
    bayesian: Keep dropout on at inference, see `latent_vector.inference`.
  """
  critic_net = LatentCritic(critic)

  def rate(params, z):
    return critic_net.apply({'params': params['critic']}, z)

  def init(key, batch: Batch):
    key_net, key_critic = jax.random.split(key)
    params = net.init(key_net, batch['image'])
    variables = critic_net.init(key_critic, net.encode(params, batch['image']))
    return {**params, 'critic': variables['params']}, {}

  def draw(params, batch, key):
    """Draws of N(0, I) are real, latent vectors of the scans fake."""
    z = net.encode(params, batch['image'] * batch['mask'])
    return jax.random.normal(key, z.shape), z

  train_critic, train_generator = adversarial_losses(draw, rate, penalty)
  objectives = {
    'autoencoder': Objective(reconstruct, ('encoder', 'decoder'), every=critic_steps),
    'critic': Objective(train_critic, ('critic',), bounds=BOUNDS),
    'generator': Objective(train_generator, ('encoder',), every=critic_steps),
  }
  return Method(init, objectives, latent_vector.inference(net, bayesian))
