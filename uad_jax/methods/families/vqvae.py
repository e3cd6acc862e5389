"""A VQ-VAE as the first stage of what models its codes."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax.method import Bound, Objective
from uad_jax.nets import vqvae
from uad_jax.nets.layers.feature_taps import finest
from uad_jax.nets.layers.grid_sizes import halved_grid
from uad_jax.ops import codebook, losses

Array = jax.Array
NETS = ('encoder', 'decoder')


class VQVAE(NamedTuple):
  """Pure functions about the networks 'encoder' and 'decoder' and stats['codebook'].

  Attributes:
    init: (key, image) -> (params, stats, z).
    encode: (params, stats, batch) -> (z [B, *S', D], tokens [B, *S']).
    decode: (params, codes [B, *S', D]) -> image [B, *S, C].
    features: (params, batch) -> the encoder's first maps [B, *S / 2, K].
    objective: mean |x - D(e)| + commitment mean |sg(e) - E(x)|^2; tells of a codebook
      that collapses.
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
  """The VQ-VAE of van den Oord et al. 2017 with codes that follow by averages.

  Args:
    shape: Spatial shape of the images, which must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one a halving of the grid; the decoder mirrors them.
    units: Residual units at each.
    codes: Number of codes.
    size: Values of a code.
    decay: Of the averages.
    commitment: Weight of the second term.
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
    found = decode(params, z + jax.lax.stop_gradient(e - z))  # straight through
    weight = batch['mask'] * losses.per_example(batch['weight'], found)
    error = losses.masked_mean(jnp.abs(batch['image'] - found), weight)
    apart = ((jax.lax.stop_gradient(e) - z) ** 2).mean(range(1, z.ndim))
    apart = losses.example_mean(apart, batch['weight'])
    moved = codebook.follow(
      stats['codebook'],
      jax.lax.stop_gradient(z).reshape(-1, size),
      tokens.ravel(),
      jnp.repeat(batch['weight'], tokens[0].size),
      key,
      decay,
    )
    metrics = {'l1': error, 'commitment': apart, 'perplexity': moved.perplexity}
    return error + commitment * apart, ({**stats, 'codebook': moved.codebook}, metrics)

  # K codes used alike have perplexity K, one alone 1.
  collapse = Bound(
    'perplexity',
    low=max(codes / 10, 1.5),
    sign_of='a codebook that collapses: most codes are not used',
    after=200,
  )
  return VQVAE(
    init, encode, decode, features, Objective(loss, NETS, bounds=(collapse,))
  )
