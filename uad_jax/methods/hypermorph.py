"""Network that registers a template to each scan, for every weight of its smoothness.

HyperMorph (Hoopes et al. 2021, "HyperMorph: amortized hyperparameter learning for image
registration"): the weight is an input, so that one training gives the fields of all
weights, and it can still be chosen at inference. The template is the mean of the
training scans; stages and outputs are those of `families.template_registration`.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Key, Method, Params, Stats
from uad_jax.methods.families import template_registration
from uad_jax.methods.families.template_registration import Pair
from uad_jax.nets.hypermorph import HyperField
from uad_jax.nets.voxelmorph import on_full_grid
from uad_jax.ops.limits import check_number, check_whole
from uad_jax.ops.losses import example_mean
from uad_jax.registration import flow, regularise
from uad_jax.registration.similarity import distance as distance_by
from uad_jax.registration.warp import warp


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  bins: int = 1,
  encoder: Sequence[int] = (16, 32, 32, 32),
  decoder: Sequence[int] = (32, 32, 32, 32, 32),
  hidden: Sequence[int] = (64, 64, 64, 64),
  pairing: str = 'atlas',
  similarity: str = 'mse',
  window: int = 9,
  noise: float = 0.05,
  ends: float = 0.2,
  weight: float = 0.5,
  squarings: int = 7,
  smooth: float = 1.0,
  floor: float = 0.03,
) -> Method:
  """Builds a network that registers a template at any smoothness, in 2-D or 3-D.

  For a moving image m, a fixed image f and a weight w of a step it minimises

    (1 - w) D(f, m o exp(v)) / noise^2 + w mean |grad v|^2,

  v being the velocity field of the network for w. D is the mean squared difference
  ('mse') or the mean of 1 - squared local correlation ('ncc'); the mean of the squared
  differences is that of `voxelmorph`. w is uniform on [0, 1], but with the probability
  `ends` it is 0 or 1, which a network reaches worst.

  A batch may hold 'strength' [B], weights that replace `weight` at inference.

  Args:
    shape: Spatial shape of the scans.
    channels: Number of contrasts.
    bins: Slice heights at which the template is kept; 1 for volumes.
    encoder: Widths of the encoder, see `nets.voxelmorph.Features`.
    decoder: Widths of its decoder.
    hidden: Widths of the hypernetwork, see `nets.hypermorph.HyperField`.
    pairing: 'atlas' warps the template onto scans in training, 'scans' scans onto
      others of the batch; at inference the template is warped.
    similarity: 'mse' or 'ncc'.
    window: Odd edge length of the correlation's box, in voxels.
    noise: Scale of D: the standard deviation of the image noise for 'mse', in image
      units; 1 is usual for 'ncc'.
    ends: Share of the training steps at a weight of 0 or 1.
    weight: w at inference.
    squarings: Number of squarings in the integration of the velocity field.
    smooth: Standard deviation in voxels of the Gaussian that smooths the template.
    floor: Smallest standard deviation of the scans at a voxel, in image units.

  Raises:
    ValueError: A name is unknown, or a number is outside of its range.
  """
  check_number('hypermorph: noise', noise, 0, above=True)
  check_number('hypermorph: ends', ends, 0, 1)
  check_number('hypermorph: weight', weight, 0, 1)
  check_whole('hypermorph: squarings', squarings, 1)
  if not hidden:
    raise ValueError('hypermorph: hidden is (); allowed are one or more widths')
  on_full_grid(encoder, decoder)
  distance = distance_by(similarity, window)
  network = HyperField(encoder, decoder, hidden)

  def velocity(params: Params, pair: Pair, w: Array) -> Array:
    return network.apply({'params': params['field']}, pair.moving, pair.fixed, w)

  def drawn(key: Key) -> Array:
    inner, end, chosen = jax.random.split(key, 3)
    at_end = jax.random.bernoulli(end).astype(jnp.float32)
    is_end = jax.random.bernoulli(chosen, ends)
    return jnp.where(is_end, at_end, jax.random.uniform(inner))

  def loss(params: Params, stats: Stats, pair: Pair, key: Key):
    w = drawn(key)
    v = velocity(params, pair, w)
    warped = warp(pair.moving, flow.exponential(v, shape, squarings))
    terms = {
      'data': distance(pair.fixed, warped) / noise**2,
      'roughness': regularise.gradient_energy(v),
    }
    terms = {name: example_mean(x, pair.weight) for name, x in terms.items()}
    return (1 - w) * terms['data'] + w * terms['roughness'], (stats, terms)

  def predict(params: Params, pair: Pair, key: Key) -> dict[str, Array]:
    w = jnp.float32(weight) if pair.strength is None else pair.strength
    v = velocity(params, pair, w)
    return {'displacement': flow.exponential(v, shape, squarings), 'velocity': v}

  def start(key: Key, image: Array) -> tuple[Params, Stats]:
    params = network.init(key, image, image, jnp.float32(weight))['params']
    return {'field': params}, {}

  return template_registration.make_method(
    start, loss, predict, shape, channels, bins, pairing, smooth, floor
  )
