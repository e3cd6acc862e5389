"""q(z | x) and p(x | z) of variational auto-encoders, as pure functions."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.baur2021 import StudyDecoding, StudyEncoding
from uad_jax.nets.encoder_decoder import LATENT_LOG_VARIANCE, Decoding, Encoder
from uad_jax.nets.layers.dropout import apply
from uad_jax.nets.layers.feature_taps import finest
from uad_jax.nets.layers.grid_sizes import check_latent, halved_grid
from uad_jax.nets.layers.slice_position import position_features
from uad_jax.nets.you2019 import MapDecoding, MapEncoding

Array = jax.Array


class Variational(NamedTuple):
  """The two networks at work; `noise` is a key for dropout, or None without.

  Attributes:
    init: (key, batch) -> params of 'encoder' and 'decoder'.
    encode: (params, image, noise) -> mean and log-variance of the latent.
    decode: (params, z, position, noise) -> mean and log-variance [B, *S, C]; the latter
      None where the architecture does not predict it.
    features: (params, image) -> the encoder's first maps [B, *S', K].
  """

  init: Callable
  encode: Callable
  decode: Callable
  features: Callable


def features_of(encoder: nn.Module) -> Callable:
  """(params, image) -> the first maps of the network 'encoder'."""
  return lambda params, image: finest(encoder, params['encoder'], image)


def sample(key: Array, mean: Array, log_variance: Array) -> Array:
  """A draw of N(mean, exp(log_variance)), by reparametrisation."""
  return mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)


def convolutional(
  shape: Sequence[int],
  channels: int,
  widths: Sequence[int],
  latent: int,
  position: bool,
  dropout: float,
) -> Variational:
  """A latent with a grid, dropout on it, and a predicted variance."""
  encoder = Encoder(widths, 2 * latent)
  return _gridded(encoder, Decoding(shape, channels, widths[::-1]), position, dropout)


def maps(
  shape: Sequence[int],
  channels: int,
  widths: Sequence[int],
  latent: int,
  dropout: float,
) -> Variational:
  """That of You et al. 2019: the latent has a grid, a variance is predicted."""
  halved_grid(shape, len(widths))  # refuses what cannot be halved
  encoder = MapEncoding(widths, latent)
  return _gridded(encoder, MapDecoding(channels, widths), False, dropout)


def _gridded(
  encoder: nn.Module, decoder: nn.Module, position: bool, dropout: float
) -> Variational:
  """Of an encoder that gives means beside log-variances."""

  def where(heights):
    return position_features(heights) if position else None

  def init(key, batch):
    key_encoder, key_decoder = jax.random.split(key)
    encoding = encoder.init(key_encoder, batch['image'])
    mean, _ = jnp.split(encoder.apply(encoding, batch['image']), 2, -1)
    check_latent(mean[0].size, batch['image'])
    decoding = decoder.init(key_decoder, mean, where(batch['position']))
    return {'encoder': encoding['params'], 'decoder': decoding['params']}

  def encode(params, image, noise):
    statistics = encoder.apply({'params': params['encoder']}, image)
    mean, log_variance = jnp.split(statistics, 2, -1)
    return mean, jnp.clip(log_variance, *LATENT_LOG_VARIANCE)

  def decode(params, z, heights, noise):
    if dropout:
      z = apply(nn.Dropout(dropout), {}, z, noise=noise)
    return decoder.apply({'params': params['decoder']}, z, where(heights))

  return Variational(init, encode, decode, features_of(encoder))


def study(
  shape: Sequence[int],
  channels: int,
  widths: Sequence[int],
  latent: int,
  dropout: float,
  norm: Callable[[], nn.Module] | None = None,
) -> Variational:
  """The dense one of Baur et al. 2021, whose second head is the log deviation.

  The log-variance is kept within `LATENT_LOG_VARIANCE`, which they do not. Dropout is
  after every dense layer; `norm` is that of the decoder.
  """
  encoder = StudyEncoding(widths, latent, heads=2, dropout=dropout)
  decoder = StudyDecoding(shape, channels, widths, dropout=dropout, norm=norm)

  def init(key, batch):
    key_encoder, key_decoder = jax.random.split(key)
    (mean, _), encoding = encoder.init_with_output(key_encoder, batch['image'])
    decoding = decoder.init(key_decoder, mean)
    return {'encoder': encoding['params'], 'decoder': decoding['params']}

  def encode(params, image, noise):
    mean, log_deviation = apply(encoder, params['encoder'], image, noise=noise)
    return mean, jnp.clip(2 * log_deviation, *LATENT_LOG_VARIANCE)

  def decode(params, z, heights, noise):
    if noise is not None:
      noise = jax.random.fold_in(noise, 1)  # not the encoder's draws
    return apply(decoder, params['decoder'], z, noise=noise), None

  return Variational(init, encode, decode, features_of(encoder))
