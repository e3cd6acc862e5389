"""Auto-encoder with an autoregressive density of its code (LSA).

Abati et al. 2019 ("Latent space autoregression for novelty detection").
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Method, Objective
from uad_jax.methods.families.network_pair import features_of, init_pair
from uad_jax.nets.baur2021 import StudyDecoding, StudyEncoding
from uad_jax.nets.encoder_decoder import Decoding, Encoder
from uad_jax.nets.layers.slice_position import position_features
from uad_jax.nets.lsa import Estimator, surprisal
from uad_jax.ops import losses
from uad_jax.ops.choices import check_choice
from uad_jax.ops.limits import check_number, check_whole

CODES = ('vector', 'maps')


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (32, 64, 64, 64),
  latent: int = 64,
  code: str = 'vector',
  estimator: Sequence[int] = (32, 32, 32, 32),
  bins: int = 100,
  weight: float = 1.0,
) -> Method:
  """Builds the auto-encoder whose codes are pressed to be predictable.

  The code z lies in (0, 1) (a sigmoid). With the estimator h of masked layers, its loss
  for a scan is

    sum |x - x'|^2 - weight sum_j log softmax(h(z)_j)[bin of z_j],

  the first sum over the brain, the second over the values of the code. The gradient of
  the second term reaches the encoder through the input of the estimator only.

  The outputs are 'reconstruction' and 'improbability', -log p of the code: with the
  code 'maps' that of each place, summed over its channels and interpolated; with
  'vector' that of the whole scan at each of its voxels. 'log_prob' is log p of all
  codes of a scan. The paper adds both, each scaled to [0, 1] on healthy validation
  scans, for a score of a whole image.

  Args:
    shape: Spatial shape of the images; for 'vector' it must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid; the decoder mirrors them.
    latent: Size of the vector, or channels of the maps.
    code: 'vector' (networks of the study of Baur et al. 2021, masked fully connected
      estimator) or 'maps' (masked convolutions).
    estimator: Widths of the estimator's hidden layers.
    bins: Number of bins of (0, 1).
    weight: Weight of the code's term.

  Raises:
    ValueError: An option is not allowed.
  """
  check_choice('code', code, CODES, 'lsa')
  check_whole('lsa: bins', bins, 2)
  check_number('lsa: weight', weight, 0)
  maps = code == 'maps'
  density = Estimator(estimator, bins, maps)
  if maps:
    encoder = Encoder(widths, latent)
    decoder = Decoding(shape, channels, widths[::-1])
  else:
    encoder = StudyEncoding(widths, latent, heads=1)
    decoder = StudyDecoding(shape, channels, widths)

  def init(key, batch: Batch):
    of_pair, of_density = jax.random.split(key)
    heights = position_features(batch['position'])

    def inputs(encoded):
      return (code_of(encoded), heights) if maps else (code_of(encoded),)

    params = init_pair(of_pair, encoder, decoder, batch['image'], inputs)
    z = encode(params, batch['image'])
    return params | {'density': density.init(of_density, z)['params']}, {}

  def code_of(encoded) -> Array:
    return nn.sigmoid(encoded if maps else encoded[0])

  def encode(params, image: Array) -> Array:
    return code_of(encoder.apply({'params': params['encoder']}, image))

  def decode(params, z: Array, heights: Array) -> Array:
    variables = {'params': params['decoder']}
    if maps:
      return decoder.apply(variables, z, position_features(heights))[0]
    return decoder.apply(variables, z)

  def nats(params, z: Array) -> Array:
    return surprisal(density.apply({'params': params['density']}, z), z)

  def train(params, stats, batch: Batch, key, step):
    image, mask = batch['image'], batch['mask']
    z = encode(params, image)
    error = (image - decode(params, z, batch['position'])) ** 2 * mask
    terms = {
      'rec': losses.example_sum(error),
      'nats': losses.example_sum(nats(params, z)),
    }
    terms = {k: losses.example_mean(v, batch['weight']) for k, v in terms.items()}
    return terms['rec'] + weight * terms['nats'], (stats, terms)

  def infer(params, stats, batch: Batch, key):
    image, mask = batch['image'], batch['mask']
    z = encode(params, image)
    by_value = nats(params, z)
    total = losses.example_sum(by_value)
    if maps:
      places = by_value.sum(-1, keepdims=True)
      improbability = jax.image.resize(places, mask.shape, 'linear')
    else:
      improbability = jnp.broadcast_to(losses.per_example(total, mask), mask.shape)
    return {
      'latent': z,
      'reconstruction': decode(params, z, batch['position']) * mask,
      'improbability': jnp.maximum(improbability, 0.0) * mask,
      'log_prob': -total,
      'features': features_of(encoder)(params, image),
    }

  trained = ('encoder', 'decoder', 'density')
  return Method(init, {'autoencoder': Objective(train, trained)}, infer)
