"""A variational auto-encoder whose reconstructions a critic judges (AnoVAEGAN).

Baur et al., "Deep autoencoding models for unsupervised anomaly segmentation in brain MR
images", BrainLes 2018, as their comparative study (Medical Image Analysis 69, 2021)
trains it.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.method import Batch, Method, Objective
from uad_jax.methods.families import variational, wasserstein
from uad_jax.nets.baur2021 import WIDTHS
from uad_jax.nets.critic import ImageCritic
from uad_jax.nets.layers.dropout import check_bayesian
from uad_jax.nets.layers.grid_norm import GridNorm
from uad_jax.ops import losses


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = WIDTHS,
  latent: int = 128,
  critic: Sequence[int] = WIDTHS,
  critic_steps: int = 5,
  penalty: float = 10.0,
  dropout: float = 0.0,
  bayesian: bool = False,
) -> Method:
  """The critic compares images with their reconstructions, not with prior samples.

  vae: sum |x - x'| + KL(q(z | x) || N(0, I)), both summed over a scan; critic C:
  E C(x') - E C(x) + penalty E (|grad C| - 1)^2; generator, which is the decoder:
  -E C(x'), each with z drawn from q. The second head of q is its log deviation.

  Departures: the gradient's norm is over the whole image (the study's program sums over
  one axis); the sum is over the brain, outside of which the critic sees zeros;
  inference decodes the mean; the log-variance is kept within bounds. As in the study
  the critic judges patches, and decoder and critic have a layer normalisation over the
  grid.

  Args:
    shape: Spatial shape, which halves as often as there are widths.
    channels: Number of contrasts.
    widths: Encoder widths, one a halving of the grid; the decoder mirrors them.
    latent: Values of the code.
    critic: Widths of the critic, one a halving of the grid.
    critic_steps: Steps of the critic, one each step, for each of the two others.
    penalty: Weight of the critic's gradient penalty.
    dropout: Rate, after each dense layer of encoder and decoder; the study's is 0.2.
    bayesian: Dropout stays on at inference, drawn from the key: a Monte Carlo scorer
      averages over keys (Gal and Ghahramani 2016).
  """
  check_bayesian('anovaegan', bayesian, dropout)
  nets = variational.study(shape, channels, widths, latent, dropout, GridNorm)
  judge = ImageCritic(critic)

  def seen(batch):
    return batch['image'] * batch['mask']

  def decode(params, batch, z, noise):
    return nets.decode(params, z, batch['position'], noise)[0] * batch['mask']

  def value(params, image):
    return judge.apply({'params': params['critic']}, image)[0]

  def draw(params, batch, key):
    noise = jax.random.fold_in(key, 1)  # apart from the draw of z
    mean, log_variance = nets.encode(params, seen(batch), noise)
    z = variational.sample(key, mean, log_variance)
    return decode(params, batch, z, noise), losses.kl_normal(mean, log_variance)

  def init(key, batch: Batch):
    key_critic = jax.random.split(key, 3)[2]  # the first two are those of the nets
    judgement = judge.init(key_critic, batch['image'])
    return {**nets.init(key, batch), 'critic': judgement['params']}, {}

  def reconstruct(params, stats, batch: Batch, key, step):
    found, kl = draw(params, batch, key)
    error = losses.example_sum(jnp.abs(seen(batch) - found))
    error = losses.example_mean(error, batch['weight'])
    kl = losses.example_mean(losses.example_sum(kl), batch['weight'])
    return error + kl, (stats, {'l1': error, 'kl': kl})

  def pair(params, batch, key):
    """Images are real, their reconstructions fake."""
    return seen(batch), draw(params, batch, key)[0]

  def infer(params, stats, batch: Batch, key):
    noise = key if bayesian else None
    mean, log_variance = nets.encode(params, seen(batch), noise)
    found = decode(params, batch, mean, noise)
    rec = losses.example_sum(jnp.abs(seen(batch) - found))
    kl = losses.example_sum(losses.kl_normal(mean, log_variance))
    return {
      'latent': mean,
      'reconstruction': found,
      'elbo': -rec - kl,
      'rec': rec,
      'kl': kl,
      'features': nets.features(params, seen(batch)),
    }

  criticise, deceive = wasserstein.game(pair, value, penalty)
  objectives = {
    'vae': Objective(reconstruct, ('encoder', 'decoder'), every=critic_steps),
    'critic': Objective(criticise, ('critic',), bounds=wasserstein.BOUNDS),
    'generator': Objective(deceive, ('decoder',), every=critic_steps),
  }
  return Method(init, objectives, infer)
