"""Template that is learnt with the network that registers it to each scan.

Dalca et al. 2019, "Learning conditional deformable templates with convolutional
networks". The template is the voxelwise mean of the training scans plus a learnt image,
one for all scans or one for each slice height; other stages and outputs are those of
`families.template_registration`.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Key, Method, Params, Stats
from uad_jax.methods.families import template_registration
from uad_jax.methods.families.template_registration import Pair
from uad_jax.nets.template_decoder import TemplateDecoder
from uad_jax.nets.voxelmorph import Field, on_full_grid
from uad_jax.ops.choices import check_choice
from uad_jax.ops.limits import check_number, check_whole
from uad_jax.ops.losses import example_mean, per_example
from uad_jax.registration import flow, regularise
from uad_jax.registration.similarity import distance as distance_by
from uad_jax.registration.warp import warp

ATTRIBUTES = ('none', 'height')
"""Attributes of a scan that its template can depend on."""


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  bins: int = 1,
  attribute: str = 'none',
  template: Sequence[int] = (32, 32, 16, 16),
  encoder: Sequence[int] = (16, 32, 32, 32),
  decoder: Sequence[int] = (32, 32, 32, 32, 32),
  similarity: str = 'ncc',
  window: int = 9,
  smoothness: float = 1.0,
  magnitude: float = 0.01,
  centring: float = 1.0,
  memory: int = 100,
  squarings: int = 7,
  smooth: float = 1.0,
  floor: float = 0.03,
) -> Method:
  """Builds a template that is learnt with its registration, in 2-D or 3-D.

  For scans x and their templates t it minimises

    D(x, t o exp(v)) + smoothness mean |grad v|^2 + magnitude mean |u|^2
      + centring mean |u_mean|^2,

  v being the velocity field of the network, u the displacement of exp(v), and u_mean
  the running mean of u over the training, so that the template lies in the middle of
  the scans. D is the mean squared difference ('mse') or the mean of 1 - squared local
  correlation ('ncc', as published).

  Departures: the template starts at the mean of the training scans at the slice's
  height, and the decoder of the attribute adds to it; the attribute is the height of
  the slice, since the age of a scan is not known where a method infers.

  Args:
    shape: Spatial shape of the scans.
    channels: Number of contrasts.
    bins: Slice heights at which the mean of the scans is kept; 1 for volumes.
    attribute: 'none' learns one change for all scans, 'height' also one that depends on
      the slice height.
    template: Widths of the decoder of the attribute, see
      `nets.template_decoder.TemplateDecoder`.
    encoder: Widths of the registration's encoder, see `nets.voxelmorph.Features`.
    decoder: Widths of its decoder.
    similarity: 'mse' or 'ncc'.
    window: Odd edge length of the correlation's box, in voxels.
    smoothness: Weight of the roughness of the velocity.
    magnitude: Weight of the size of the displacement, for one squared voxel.
    centring: Weight of the size of its running mean.
    memory: Steps over which the running mean is taken.
    squarings: Number of squarings in the integration of the velocity field.
    smooth: Standard deviation in voxels of the Gaussian that smooths the mean.
    floor: Smallest standard deviation of the scans at a voxel, in image units.

  Raises:
    ValueError: A name is unknown, or a number is outside of its range.
  """
  check_choice('attribute', attribute, ATTRIBUTES, 'learned_template')
  weights = dict(smoothness=smoothness, magnitude=magnitude, centring=centring)
  for name, value in weights.items():
    check_number(f'learned_template: {name}', value, 0)
  check_whole('learned_template: memory', memory, 1)
  check_whole('learned_template: squarings', squarings, 1)
  on_full_grid(encoder, decoder)
  distance = distance_by(similarity, window)
  network = Field(encoder, decoder)
  widths = tuple(template) if attribute == 'height' else ()
  change_network = TemplateDecoder(shape, channels, widths)

  def start(key: Key, image: Array) -> tuple[Params, Stats]:
    of_field, of_template = jax.random.split(key)
    params, stats = template_registration.fields_of(network)(of_field, image)
    height = jnp.full(len(image), 0.5)
    params['template'] = change_network.init(of_template, height)['params']
    centre = jnp.zeros((*shape, len(shape)))
    return params, stats | {'centre': centre, 'centre_count': jnp.zeros(())}

  def change(params: Params, batch: Batch) -> Array:
    return change_network.apply({'params': params['template']}, batch['position'])

  def velocity(params: Params, pair: Pair) -> Array:
    return network.apply({'params': params['field']}, pair.moving, pair.fixed)

  def loss(params: Params, stats: Stats, pair: Pair, key: Key):
    v, weight = velocity(params, pair), pair.weight
    u = flow.exponential(v, shape, squarings)
    share = per_example(weight, u) / jnp.maximum(weight.sum(), 1)
    rate = 1 / jnp.minimum(stats['centre_count'] + 1, memory)
    centre = (1 - rate) * stats['centre'] + rate * (share * u).sum(0)
    terms = {
      'data': example_mean(distance(pair.fixed, warp(pair.moving, u)), weight),
      'smoothness': example_mean(regularise.gradient_energy(v), weight),
      'magnitude': (share * u**2).sum((0, -1)).mean(),
      'centring': (centre**2).sum(-1).mean(),
    }
    value = terms['data'] + sum(weights[name] * terms[name] for name in weights)
    moved = {'centre': centre, 'centre_count': stats['centre_count'] + 1}
    return value, (stats | jax.lax.stop_gradient(moved), terms)

  def predict(params: Params, pair: Pair, key: Key) -> dict[str, Array]:
    v = velocity(params, pair)
    return {'displacement': flow.exponential(v, shape, squarings), 'velocity': v}

  method = template_registration.make_method(
    start, loss, predict, shape, channels, bins, 'atlas', smooth, floor, change=change
  )
  kinds = dict.fromkeys(('centre', 'centre_count'), 'mean_field')
  return method._replace(kinds=method.kinds | kinds)
