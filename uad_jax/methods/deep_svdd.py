"""Sphere around the features of healthy scans (Deep SVDD)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.detectors.families.feature_bank import over_voxels, place_weight
from uad_jax.method import Array, Batch, Bound, Method, Objective
from uad_jax.nets.one_class import OneClassDecoder, OneClassEncoder
from uad_jax.ops.choices import check_choice
from uad_jax.ops.limits import check_number
from uad_jax.ops.losses import masked_mean, voxel_weight

BOUNDARIES = ('one_class', 'soft')
NEAREST = 0.1
"""Smallest absolute value of a component of the centre."""


def away_from_zero(centre: Array) -> Array:
  """Moves components of a centre near 0 to +-`NEAREST`, as published.

  A network whose weights are all 0 has all features 0: no such component is met by it.

  Examples:
    >>> away_from_zero(jnp.array([0.5, -0.02, 0.0])).tolist()
    [0.5, -0.10000000149011612, 0.10000000149011612]
  """
  side = jnp.where(centre < 0, -NEAREST, NEAREST)
  return jnp.where(jnp.abs(centre) < NEAREST, side, centre)


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (32, 64, 32),
  boundary: str = 'one_class',
  nu: float = 0.1,
  decay: float = 1e-3,
) -> Method:
  """Builds the deep support vector data description of Ruff et al. 2018.

  An encoder phi without biases is trained to bring the features of healthy scans near a
  centre c, the mean of the features before that training. With the boundary 'one_class'
  it minimises mean |phi - c|^2, with 'soft'

    R^2 + 1 / nu mean max(0, |phi - c|^2 - R^2),

  R^2 being the (1 - nu) quantile of the batch, and in both cases decay / 2 |w|^2 of the
  weights. The encoder begins as that of an auto-encoder. Here phi has a value at each
  place of a coarse grid, as in its fully convolutional form (Liznerski et al. 2021), so
  that the distance is a map: 'novelty' is |phi - c|^2, minus R^2 with 'soft'.

  Stages: 0 the auto-encoder, 1 one pass for c, 2 the sphere.

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    widths: Channels of the encoder after each halving of the grid.
    boundary: 'one_class' or 'soft'.
    nu: Share of the places outside of the soft boundary.
    decay: Weight of the squared weights.

  Raises:
    ValueError: An option is not allowed.
  """
  check_choice('boundary', boundary, BOUNDARIES, 'deep_svdd')
  check_number('deep_svdd: nu', nu, 0, 1, above=True)
  check_number('deep_svdd: decay', decay, 0)
  soft = boundary == 'soft'
  encoder, decoder = OneClassEncoder(widths), OneClassDecoder(widths, channels)

  def encode(params, image: Array) -> Array:
    return encoder.apply({'params': params['encoder']}, image)

  def init(key, batch: Batch):
    of_encoder, of_decoder = jax.random.split(key)
    image = batch['image']
    params = {'encoder': encoder.init(of_encoder, image)['params']}
    features = encode(params, image)
    params['decoder'] = decoder.init(of_decoder, features, shape)['params']
    zeros = jnp.zeros(features.shape[-1])
    stats = {'sum': zeros, 'count': jnp.zeros(()), 'radius': jnp.zeros(())}
    return params, {'sphere': stats}

  def reconstruct(params, stats, batch: Batch, key, step):
    features = encode(params, batch['image'])
    output = decoder.apply({'params': params['decoder']}, features, shape)
    error = masked_mean((batch['image'] - output) ** 2, voxel_weight(batch))
    return error, (stats, {'mse': error})

  def centre_of(stats) -> Array:
    sphere = stats['sphere']
    return away_from_zero(sphere['sum'] / jnp.maximum(sphere['count'], 1.0))

  def fit(params, stats, batch: Batch, key, step):
    features, sphere = encode(params, batch['image']), stats['sphere']
    weight = place_weight(batch, features.shape[1:-1])
    axes = tuple(range(features.ndim - 1))
    observed = {
      'sum': sphere['sum'] + (weight * features).sum(axes),
      'count': sphere['count'] + weight.sum(),
    }
    return jnp.zeros(()), ({**stats, 'sphere': sphere | observed}, {})

  def distance(params, stats, image: Array) -> Array:
    features = encode(params, image)
    centre = centre_of(stats).reshape(*[1] * (features.ndim - 1), -1)
    return ((features - centre) ** 2).sum(-1, keepdims=True)

  def train(params, stats, batch: Batch, key, step):
    square = distance(params, stats, batch['image'])
    weight = place_weight(batch, square.shape[1:-1])
    mean = masked_mean(square, weight)
    loss, sphere = mean, stats['sphere']
    if soft:
      fixed = jax.lax.stop_gradient(square)
      inside = jnp.where(weight > 0.5, fixed, jnp.nan)
      radius = jnp.nan_to_num(jnp.nanquantile(inside, 1 - nu))
      beyond = jnp.maximum(square - radius, 0.0)
      loss = radius + masked_mean(beyond, weight) / nu
      sphere = sphere | {'radius': radius}
    weights = jax.tree.leaves(params['encoder'])
    loss = loss + 0.5 * decay * sum((w**2).sum() for w in weights)
    return loss, ({**stats, 'sphere': sphere}, {'distance': mean})

  def infer(params, stats, batch: Batch, key):
    square = distance(params, stats, batch['image']) - stats['sphere']['radius']
    novelty = over_voxels(square, batch['mask'])
    return {'novelty': novelty, 'features': encode(params, batch['image'])}

  collapse = Bound(
    'distance', low=1e-6, sign_of='a sphere that collapsed to its centre'
  )
  objectives = {
    'autoencoder': Objective(reconstruct, ('encoder', 'decoder')),
    'centre': Objective(fit, stage=1),
    'sphere': Objective(train, ('encoder',), stage=2, bounds=(collapse,)),
  }
  return Method(init, objectives, infer, {'sphere': 'bank'})
