"""Wasserstein critics with a gradient penalty, on codes and on images.

Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017.
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
"""[B, ...] to a value for each example, [B], which no other example may influence."""

BOUNDS = (
  Bound(
    'gradient_norm', 0.01, 10, 'a critic that its penalty does not hold', after=200
  ),
  Bound('gradient_norm', high=100, sign_of='divergence', fatal=True),
  Bound('wasserstein', -1e4, 1e4, 'divergence', fatal=True),
)
"""For the objective of a critic; the norm is near 1 when all is well."""


def gradient_penalty(
  critic: Critic, real: Array, fake: Array, key: Key
) -> tuple[Array, Array]:
  """(|grad_x D(x)| - 1)^2 and |grad_x D(x)| of each example; both [B].

  x = real + e (fake - real) with e uniform in [0, 1), one for each example; the norm is
  taken over all axes of the example.
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
  """E D(fake) - E D(real) + penalty E (|grad D| - 1)^2, and what tells of divergence.

  Args:
    critic: D; high is real.
    real: [B, ...].
    fake: Of the same shape.
    weight: [B], 0 marks padding.
    penalty: Weight of the gradient penalty.
    key: For the points at which the gradient is taken.

  Returns:
    The loss, and the metrics 'wasserstein' (the critic's estimate of the distance,
    E D(real) - E D(fake)) and 'gradient_norm' (E |grad D|, near 1 when all is well).
  """
  excess, norm = gradient_penalty(critic, real, fake, key)
  distance = example_mean(critic(real) - critic(fake), weight)
  metrics = {'wasserstein': distance, 'gradient_norm': example_mean(norm, weight)}
  return penalty * example_mean(excess, weight) - distance, metrics


def game(
  draw: Callable[[Params, Batch, Key], tuple[Array, Array]],
  judge: Callable[[Params, Array], Array],
  penalty: float,
) -> tuple[Callable, Callable]:
  """The losses of the critic and of what deceives it, as an `Objective` takes them.

  critic: `critic_loss`; the other: -E D(fake).

  Args:
    draw: What is real and what is fake, [B, ...] both.
    judge: D, [B].
    penalty: Weight of the gradient penalty.
  """

  def criticise(params, stats, batch: Batch, key, step):
    key_draw, key_between = jax.random.split(key)
    loss, metrics = critic_loss(
      lambda x: judge(params, x),
      *draw(params, batch, key_draw),
      batch['weight'],
      penalty,
      key_between,
    )
    return loss, (stats, metrics)

  def deceive(params, stats, batch: Batch, key, step):
    believed = judge(params, draw(params, batch, key)[1])
    return -example_mean(believed, batch['weight']), (stats, {})

  return criticise, deceive


def coded(
  net: Coder,
  reconstruct: Callable,
  critic: Sequence[int],
  critic_steps: int,
  penalty: float,
  bayesian: bool,
) -> Method:
  """An auto-encoder whose codes a critic draws to N(0, I).

  Objectives: 'autoencoder', which is `reconstruct`; 'critic', to which draws of the
  prior are real and codes of the scans, before any dropout, fake; 'generator', the
  encoder that deceives it.

  Args:
    net: Encoder and decoder.
    reconstruct: The loss of the auto-encoder, as an `Objective` takes it.
    critic: Widths of the critic.
    critic_steps: Steps of the critic, one each step, for each of the two others.
    penalty: Weight of its gradient penalty.
    bayesian: See `vector.inference`.
  """
  judge = LatentCritic(critic)

  def value(params, z):
    return judge.apply({'params': params['critic']}, z)

  def init(key, batch: Batch):
    key_net, key_critic = jax.random.split(key)
    params = net.init(key_net, batch['image'])
    judging = judge.init(key_critic, net.encode(params, batch['image']))
    return {**params, 'critic': judging['params']}, {}

  def draw(params, batch, key):
    code = net.encode(params, batch['image'] * batch['mask'])
    return jax.random.normal(key, code.shape), code

  criticise, deceive = game(draw, value, penalty)
  objectives = {
    'autoencoder': Objective(reconstruct, ('encoder', 'decoder'), every=critic_steps),
    'critic': Objective(criticise, ('critic',), bounds=BOUNDS),
    'generator': Objective(deceive, ('encoder',), every=critic_steps),
  }
  return Method(init, objectives, latent_vector.inference(net, bayesian))
