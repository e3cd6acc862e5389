"""Vector-quantised auto-encoder (VQ-VAE), whose latents are codes from a codebook.

Several methods share it and model the codes.

van den Oord et al., "Neural discrete representation learning", NeurIPS 2017.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax.method import Bound, Objective
from uad_jax.nets import vqvae
from uad_jax.nets.layers.feature_taps import finest
from uad_jax.nets.layers.grid_sizes import halved_grid
from uad_jax.ops import codebook, losses

NETS = ('encoder', 'decoder')
"""Networks of a VQ-VAE, by their names in the parameters."""


class VQVAE(NamedTuple):
  """Vector-quantised auto-encoder, as functions of its parameters and codebook.

  The codebook is stats['codebook']; a token is the index of a code.

  Attributes:
    init: (key, image) -> (params, stats, z).
    encode: (params, stats, batch) -> (z [B, *S', D], tokens [B, *S']).
    decode: (params, codes [B, *S', D]) -> image [B, *S, C].
    features: (params, batch) -> first feature maps of the encoder, [B, *S / 2, K].
    objective: Training of networks and codebook on mean |x - D(e)| + commitment mean
      |sg(e) - E(x)|^2, with a bound that reports a collapsed codebook.
  """

  init: Callable
  encode: Callable
  decode: Callable
  features: Callable
  objective: Objective


def make(
  shape: Sequence[int],
  channels: int,
  widths: Sequence[int],
  units: int,
  codes: int,
  size: int,
  decay: float,
  commitment: float,
) -> VQVAE:
  """Builds a VQ-VAE whose codes are updated by exponential moving averages.

  Args:
    shape: Spatial shape of the images, which must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid; the decoder mirrors them.
    units: Number of residual units on each grid.
    codes: Number of codes.
    size: Size of a code vector, D.
    decay: Share of the moving averages that an update keeps, in [0, 1).
    commitment: Weight of the commitment term, which draws E(x) to its code.
  """
  halved_grid(shape, len(widths))
  encoder = vqvae.VQEncoder(widths, size, units)
  decoder = vqvae.VQDecoder(widths[::-1], channels, units)

  def init(key, image):
    key_encoder, key_decoder, key_codes = jax.random.split(key, 3)
    z, encoding = encoder.init_with_output(key_encoder, image)
    decoding = decoder.init(key_decoder, z)
    params = {'encoder': encoding['params'], 'decoder': decoding['params']}
    return params, {'codebook': codebook.start(key_codes, codes, size)}, z

  def encode(params, stats, batch):
    z = encoder.apply({'params': params['encoder']}, batch['image'] * batch['mask'])
    return z, codebook.nearest(stats['codebook']['codes'], z)

  def features(params, batch):
    return finest(encoder, params['encoder'], batch['image'] * batch['mask'])

  def decode(params, e):
    return decoder.apply({'params': params['decoder']}, e)

  def loss(params, stats, batch, key, step):
    z, tokens = encode(params, stats, batch)
    e = stats['codebook']['codes'][tokens]
    expected = decode(params, z + jax.lax.stop_gradient(e - z))  # straight through
    weight = losses.voxel_weight(batch)
    error = losses.masked_mean(jnp.abs(batch['image'] - expected), weight)
    distance = ((jax.lax.stop_gradient(e) - z) ** 2).mean(range(1, z.ndim))
    distance = losses.example_mean(distance, batch['weight'])
    updated = codebook.update(
      stats['codebook'],
      jax.lax.stop_gradient(z).reshape(-1, size),
      tokens.ravel(),
      jnp.repeat(batch['weight'], tokens[0].size),
      key,
      decay,
    )
    metrics = {'l1': error, 'commitment': distance, 'perplexity': updated.perplexity}
    total = error + commitment * distance
    return total, ({**stats, 'codebook': updated.codebook}, metrics)

  # K codes used equally often have perplexity K, a single used code has 1.
  collapse = Bound(
    'perplexity',
    low=max(codes / 10, 1.5),
    sign_of='a codebook that collapses: most codes are not used',
    after=200,
  )
  return VQVAE(
    init, encode, decode, features, Objective(loss, NETS, bounds=(collapse,))
  )
