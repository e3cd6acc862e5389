"""Functions that build and apply auto-encoders whose latent code is one vector.

A latent vector can be compared with a prior over vectors, as the adversarial
auto-encoders do, and with the latent of the reconstruction, as the constrained ones do.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax

from uad_jax.method import Array, Batch, Key, Params
from uad_jax.methods.families.network_pair import features_of, init_pair
from uad_jax.nets.baur2021 import StudyDecoding, StudyEncoding
from uad_jax.nets.chen2018 import ResidualDecoder, ResidualEncoder
from uad_jax.ops import losses


class Coder(NamedTuple):
  """Auto-encoder with a latent vector, as pure functions of its parameters.

  Attributes:
    init: (key, image) -> parameters of 'encoder' and 'decoder'.
    encode: (params, image [B, *S, C]) -> latent vectors [B, Z], before any dropout.
    decode: (params, z [B, Z], noise) -> images [B, *S, C]; `noise` is a random key for
      dropout, or None for no dropout.
    features: (params, image) -> first feature maps of the encoder, [B, *S', K].
  """

  init: Callable
  encode: Callable
  decode: Callable
  features: Callable


def coder(encoder: nn.Module, decoder: nn.Module, dropout: float = 0.0) -> Coder:
  """Builds an auto-encoder (`Coder`) from an encoder network and a decoder network.

  Dropout acts on the latent that is decoded.

  Args:
    encoder: Module [B, *S, C] -> (z [B, Z],).
    decoder: Module (z, deterministic) -> [B, *S, C].
    dropout: Dropout rate in [0, 1).
  """

  def init(key, image):
    return init_pair(key, encoder, decoder, image, lambda latents: latents)

  def encode(params, image):
    return encoder.apply({'params': params['encoder']}, image)[0]

  def decode(params, z, noise=None):
    variables = {'params': params['decoder']}
    if noise is None:
      return decoder.apply(variables, z)
    key_latent, key_layer = jax.random.split(noise)
    z = nn.Dropout(dropout).apply({}, z, False, rngs={'dropout': key_latent})
    return decoder.apply(variables, z, False, rngs={'dropout': key_layer})

  return Coder(init, encode, decode, features_of(encoder))


def errors(
  net: Coder, params: Params, batch: Batch, noise: Key | None
) -> tuple[Array, Array]:
  """Computes the mean squared errors of the reconstruction and of its latent vector.

  mean (x - x')^2 over the brain and mean (z - E(x'))^2, z = E(x), x' = D(z), as in the
  comparative study of Baur et al. 2021. The gradient passes through both latents, which
  are compared before their dropout.

  Args:
    net: Encoder E and decoder D.
    params: Parameters of 'encoder' and 'decoder'.
    batch: [B, *S, C] images and masks, as `method.Batch`.
    noise: Random key for the decoder's dropout, or None for no dropout.
  """
  z = net.encode(params, batch['image'] * batch['mask'])
  expected = net.decode(params, z, noise)
  weight = losses.voxel_weight(batch)
  error = losses.masked_mean((batch['image'] - expected) ** 2, weight)
  again = net.encode(params, expected * batch['mask'])
  gap = losses.masked_mean((z - again) ** 2, losses.per_example(batch['weight'], z))
  return error, gap


def inference(net: Coder, bayesian: bool) -> Callable:
  """Builds the inference function of an auto-encoder with a latent vector.

  It serves as `Method.infer`; its outputs are 'latent', 'reconstruction' (0 outside the
  brain) and 'features'.

  Args:
    net: Encoder and decoder.
    bayesian: Keep dropout on at inference, drawn from the key.
  """

  def infer(params, stats, batch: Batch, key):
    image = batch['image'] * batch['mask']
    z = net.encode(params, image)
    expected = net.decode(params, z, key if bayesian else None)
    return {
      'latent': z,
      'reconstruction': expected * batch['mask'],
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
  """Builds the auto-encoder of Baur et al. 2021 with a latent vector, as a `Coder`.

  Args:
    shape: Spatial shape of the images, which must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid; the decoder mirrors them.
    latent: Size of the latent vector.
    dropout: Dropout rate on the latent and after the decoder's dense layer.
  """
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
  """Builds the residual auto-encoder of Chen & Konukoglu 2018, as a `Coder`.

  The authors use no dropout.

  Args:
    shape: Spatial shape of the images, which must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid; the decoder mirrors them.
    latent: Size of the latent vector.
    dropout: Dropout rate on the latent and after the decoder's dense layer.
  """
  encoder = ResidualEncoder(widths, latent)
  decoder = ResidualDecoder(shape, channels, widths, dropout)
  return coder(encoder, decoder, dropout)


ARCHITECTURES = {'study': study, 'chen2018': chen2018}
"""Functions (shape, channels, widths, latent, dropout) -> `Coder`, by name."""
