"""Networks between an image and one vector, at work as pure functions.

A code that is one vector can be held against a prior over vectors, as the adversarial
auto-encoders do.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax

from uad_jax.method import Array, Batch
from uad_jax.nets.baur2021 import StudyDecoding, StudyEncoding
from uad_jax.nets.chen2018 import ResidualDecoder, ResidualEncoder
from uad_jax.nets.layers.feature_taps import finest
from uad_jax.ops import losses


class Coder(NamedTuple):
  """Encoder and decoder; `noise` is a key for the decoder's dropout, or None without.

  Attributes:
    init: (key, image) -> params of 'encoder' and 'decoder'.
    encode: (params, image) -> the code [B, Z], before any dropout.
    decode: (params, z, noise) -> the image [B, *S, C].
    features: (params, image) -> the encoder's first maps [B, *S', K].
  """

  init: Callable
  encode: Callable
  decode: Callable
  features: Callable


def coder(encoder: nn.Module, decoder: nn.Module, dropout: float = 0.0) -> Coder:
  """The two networks, with dropout of this rate on the code that is decoded.

  Args:
    encoder: [B, *S, C] to (z,).
    decoder: (z, deterministic) to [B, *S, C].
    dropout: Rate.
  """

  def init(key, image):
    key_encoder, key_decoder = jax.random.split(key)
    (z,), encoding = encoder.init_with_output(key_encoder, image)
    decoding = decoder.init(key_decoder, z)
    return {'encoder': encoding['params'], 'decoder': decoding['params']}

  def encode(params, image):
    return encoder.apply({'params': params['encoder']}, image)[0]

  def decode(params, z, noise=None):
    variables = {'params': params['decoder']}
    if noise is None:
      return decoder.apply(variables, z)
    key_code, key_layer = jax.random.split(noise)
    z = nn.Dropout(dropout).apply({}, z, False, rngs={'dropout': key_code})
    return decoder.apply(variables, z, False, rngs={'dropout': key_layer})

  def features(params, image):
    return finest(encoder, params['encoder'], image)

  return Coder(init, encode, decode, features)


def errors(net: Coder, params, batch: Batch, noise: Array) -> tuple[Array, Array]:
  """mean (x - x')^2 over the brain and mean (z - E(x'))^2, z = E(x), x' = D(z).

  As the comparative study of Baur et al. 2021 measures them. The gradient passes
  through both codes, which meet before their dropout.
  """
  z = net.encode(params, batch['image'] * batch['mask'])
  found = net.decode(params, z, noise)
  weight = batch['mask'] * losses.per_example(batch['weight'], found)
  error = losses.masked_mean((batch['image'] - found) ** 2, weight)
  again = net.encode(params, found * batch['mask'])
  gap = losses.masked_mean((z - again) ** 2, losses.per_example(batch['weight'], z))
  return error, gap


def inference(net: Coder, bayesian: bool) -> Callable:
  """`Method.infer` of the two networks, with dropout drawn from the key or without."""

  def infer(params, stats, batch: Batch, key):
    image = batch['image'] * batch['mask']
    z = net.encode(params, image)
    found = net.decode(params, z, key if bayesian else None)
    return {
      'latent': z,
      'reconstruction': found * batch['mask'],
      'features': net.features(params, image),
    }

  return infer


def study(
  shape: Sequence[int],
  channels: int,
  widths: Sequence[int],
  latent: int,
  dropout: float,
) -> Coder:
  """The dense network of Baur et al. 2021; dropout also after its dense layer."""
  encoder = StudyEncoding(widths, latent)
  decoder = StudyDecoding(shape, channels, widths, dropout=dropout)
  return coder(encoder, decoder, dropout)


def chen2018(
  shape: Sequence[int],
  channels: int,
  widths: Sequence[int],
  latent: int,
  dropout: float,
) -> Coder:
  """The residual network of Chen & Konukoglu 2018, who use no dropout."""
  encoder = ResidualEncoder(widths, latent)
  decoder = ResidualDecoder(shape, channels, widths, dropout)
  return coder(encoder, decoder, dropout)


ARCHITECTURES = {'study': study, 'chen2018': chen2018}
"""By name: (shape, channels, widths, latent, dropout) to a `Coder`."""
