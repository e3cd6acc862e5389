"""Functions that initialise an encoder and a decoder and compute encoder features."""

from collections.abc import Callable

import flax.linen as nn
import jax

from uad_jax.method import Array, Key, Params
from uad_jax.nets.layers.feature_taps import finest


def init_pair(
  key: Key, encoder: nn.Module, decoder: nn.Module, image: Array, inputs: Callable
) -> Params:
  """Initialises the parameters of an encoder and of the decoder that follows it.

  Args:
    key: Random key, split into one for the encoder and one for the decoder.
    encoder: Module that takes images [B, *S, C].
    decoder: Module that takes a latent.
    image: Images [B, *S, C].
    inputs: (output of the encoder) -> tuple of the decoder's inputs.

  Returns:
    Parameters of the networks 'encoder' and 'decoder'.
  """
  key_encoder, key_decoder = jax.random.split(key)
  encoded, encoding = encoder.init_with_output(key_encoder, image)
  decoding = decoder.init(key_decoder, *inputs(encoded))
  return {'encoder': encoding['params'], 'decoder': decoding['params']}


def features_of(encoder: nn.Module) -> Callable[[Params, Array], Array]:
  """Returns a function that computes the first (finest) feature maps of an encoder.

  Args:
    encoder: Module that takes images and stores its features (`feature_taps.keep`).

  Returns:
    (params, images [B, *S, C]) -> feature maps [B, *S', K].
  """
  return lambda params, image: finest(encoder, params['encoder'], image)
