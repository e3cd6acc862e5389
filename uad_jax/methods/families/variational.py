"""Functions that build variational auto-encoders and compute their ELBO.

Encoders are q(z | x), decoders p(x | z), with the latent z and the image x; all are
pure functions of the networks' parameters.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Key, Outputs
from uad_jax.methods.families.network_pair import features_of, init_pair
from uad_jax.nets.baur2021 import StudyDecoding, StudyEncoding
from uad_jax.nets.encoder_decoder import LATENT_LOG_VARIANCE, Decoding, Encoder
from uad_jax.nets.layers.dropout import apply
from uad_jax.nets.layers.grid_sizes import check_latent, halved_grid
from uad_jax.nets.layers.slice_position import position_features
from uad_jax.nets.you2019 import MapDecoding, MapEncoding
from uad_jax.ops import losses

Misfit = Callable[[Array, Array, Array | None], Array]
"""(image, mean of p(x | z), its log-variance or None) -> misfit by voxel [B, *S, C]."""


class Variational(NamedTuple):
  """Variational auto-encoder, as pure functions of its parameters.

  `noise` is a random key for dropout, or None for no dropout.

  Attributes:
    init: (key, batch) -> parameters of 'encoder' and 'decoder'.
    encode: (params, image, noise) -> mean and log-variance of q(z | x).
    decode: (params, z, position, noise) -> mean and log-variance of p(x | z), [B, *S,
      C]; the log-variance is None where the architecture does not predict it.
    features: (params, image) -> first feature maps of the encoder, [B, *S', K].
  """

  init: Callable
  encode: Callable
  decode: Callable
  features: Callable


def sample(key: Key, mean: Array, log_variance: Array) -> Array:
  """Draws a sample from a normal distribution by the reparametrisation trick.

  The distribution is N(mean, exp(log_variance)); the sample has the mean's shape.
  """
  return mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)


def absolute_error(image: Array, mean: Array, log_variance: Array | None) -> Array:
  """Computes the absolute error of each voxel.

  It is |image - mean|, a `Misfit` (loss of a voxel) that ignores the log-variance.
  """
  return jnp.abs(image - mean)


def squared_error(image: Array, mean: Array, log_variance: Array | None) -> Array:
  """Computes the squared error of each voxel.

  It is (image - mean)^2, a `Misfit` (loss of a voxel) that ignores the log-variance.
  """
  return (image - mean) ** 2


def elbo_terms(rec: Array, mean: Array, log_variance: Array) -> Outputs:
  """Computes the evidence lower bound (ELBO) of each scan and its two terms.

  ELBO = -rec - KL(q(z | x) || N(0, I)), without the constants of the likelihood.

  Args:
    rec: Negative log-likelihood of each scan [B].
    mean: Mean of q(z | x), [B, ...].
    log_variance: Log-variance of q(z | x), [B, ...].

  Returns:
    The outputs 'elbo', 'rec' and 'kl', each [B].
  """
  kl = losses.example_sum(losses.kl_normal(mean, log_variance))
  return {'elbo': -rec - kl, 'rec': rec, 'kl': kl}


def inference(nets: Variational, misfit: Misfit, bayesian: bool) -> Callable:
  """Builds the inference function (`Method.infer`) of a variational auto-encoder.

  It decodes the mean of z. Its outputs are 'latent' (the mean of z), 'reconstruction'
  (0 outside the brain), 'sampled' (the same of a draw of z), 'features', the terms of
  the ELBO, where 'rec' is the misfit summed over the brain voxels of a scan, and, where
  the decoder predicts them, 'reconstruction_log_variance' and 'sampled_log_variance'.

  Args:
    nets: Encoder and decoder.
    misfit: Negative log-likelihood of a voxel.
    bayesian: Keep dropout on at inference, drawn from the key.
  """

  def infer(params, stats, batch: Batch, key):
    image, noise = batch['image'], key if bayesian else None
    mean, log_variance = nets.encode(params, image, noise)
    expected, image_log_variance = nets.decode(params, mean, batch['position'], noise)
    error = misfit(image, expected, image_log_variance)
    rec = losses.example_sum(error * batch['mask'])
    z = sample(jax.random.fold_in(key, 2), mean, log_variance)  # apart from dropout
    sampled, sampled_log_variance = nets.decode(params, z, batch['position'], noise)
    outputs = {
      'latent': mean,
      'sampled': sampled * batch['mask'],
      **elbo_terms(rec, mean, log_variance),
      'reconstruction': expected * batch['mask'],
      'features': nets.features(params, image),
    }
    if image_log_variance is not None:
      outputs['reconstruction_log_variance'] = image_log_variance
      outputs['sampled_log_variance'] = sampled_log_variance
    return outputs

  return infer


def convolutional(
  shape: Sequence[int],
  channels: int,
  widths: Sequence[int],
  latent: int,
  position: bool,
  dropout: float,
) -> Variational:
  """Builds this package's own VAE, which has latent maps and predicts voxel variances.

  Args:
    shape: Spatial shape of the images, any size.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid; the decoder mirrors them.
    latent: Channels of the latent maps.
    position: Give the slice height to the decoder.
    dropout: Dropout rate on the latent maps.
  """
  encoder = Encoder(widths, 2 * latent)
  decoder = Decoding(shape, channels, widths[::-1])
  return _latent_maps(encoder, decoder, position, dropout)


def you2019(
  shape: Sequence[int],
  channels: int,
  widths: Sequence[int],
  latent: int,
  dropout: float,
) -> Variational:
  """Builds the VAE of You et al. 2019, which has latent maps and predicts variances.

  Args:
    shape: Spatial shape of the images, which must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid; the decoder mirrors them.
    latent: Channels of the latent maps.
    dropout: Dropout rate on the latent maps.
  """
  halved_grid(shape, len(widths))  # raises for a shape that cannot be halved
  encoder = MapEncoding(widths, latent)
  return _latent_maps(encoder, MapDecoding(channels, widths), False, dropout)


def _latent_maps(
  encoder: nn.Module, decoder: nn.Module, position: bool, dropout: float
) -> Variational:
  """Makes `Variational` of an encoder that gives means beside log-variances."""

  def height(heights):
    return position_features(heights) if position else None

  def init(key, batch):
    def decoder_inputs(statistics):
      mean, _ = jnp.split(statistics, 2, -1)
      check_latent(mean[0].size, batch['image'])
      return mean, height(batch['position'])

    return init_pair(key, encoder, decoder, batch['image'], decoder_inputs)

  def encode(params, image, noise):
    statistics = encoder.apply({'params': params['encoder']}, image)
    mean, log_variance = jnp.split(statistics, 2, -1)
    return mean, jnp.clip(log_variance, *LATENT_LOG_VARIANCE)

  def decode(params, z, heights, noise):
    if dropout:
      z = apply(nn.Dropout(dropout), {}, z, noise=noise)
    return decoder.apply({'params': params['decoder']}, z, height(heights))

  return Variational(init, encode, decode, features_of(encoder))


def study(
  shape: Sequence[int],
  channels: int,
  widths: Sequence[int],
  latent: int,
  dropout: float,
  norm: Callable[[], nn.Module] | None = None,
) -> Variational:
  """Builds the VAE of Baur et al. 2021, with a latent vector and no predicted variance.

  The encoder's second head is the log deviation of z. Departing from the study, the
  log-variance is kept within `LATENT_LOG_VARIANCE`.

  Args:
    shape: Spatial shape of the images, which must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid; the decoder mirrors them.
    latent: Size of the latent vector.
    dropout: Dropout rate after every dense layer.
    norm: Function that creates the decoder's normalisation; None for no normalisation.
  """
  encoder = StudyEncoding(widths, latent, heads=2, dropout=dropout)
  decoder = StudyDecoding(shape, channels, widths, dropout=dropout, norm=norm)

  def init(key, batch):
    return init_pair(
      key, encoder, decoder, batch['image'], lambda statistics: statistics[:1]
    )

  def encode(params, image, noise):
    mean, log_deviation = apply(encoder, params['encoder'], image, noise=noise)
    return mean, jnp.clip(2 * log_deviation, *LATENT_LOG_VARIANCE)

  def decode(params, z, heights, noise):
    if noise is not None:
      noise = jax.random.fold_in(noise, 1)  # other draws than the encoder's
    return apply(decoder, params['decoder'], z, noise=noise), None

  return Variational(init, encode, decode, features_of(encoder))
