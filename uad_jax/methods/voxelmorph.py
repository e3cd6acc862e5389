"""Network that registers a template to each scan (VoxelMorph).

As published by Balakrishnan et al. 2019 ("VoxelMorph: a learning framework for
deformable medical image registration"). The template is the mean of the training scans;
stages and outputs are those of `families.template_registration`.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.method import Method
from uad_jax.methods.families import template_registration
from uad_jax.methods.families.robust_registration import Settings
from uad_jax.methods.families.template_registration import Pair, fields_of
from uad_jax.nets.voxelmorph import Field, on_full_grid
from uad_jax.ops.choices import check_choice
from uad_jax.ops.limits import check_number, check_whole
from uad_jax.ops.losses import example_mean
from uad_jax.registration import energy, flow, regularise
from uad_jax.registration.gauss_newton import Schedule
from uad_jax.registration.similarity import distance as distance_by
from uad_jax.registration.warp import warp

FIELDS = ('displacement', 'velocity')
"""Kinds of field that the network can predict."""


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  bins: int = 1,
  encoder: Sequence[int] = (16, 32, 32, 32),
  decoder: Sequence[int] = (32, 32, 32, 32, 32, 16, 16),
  pairing: str = 'atlas',
  similarity: str = 'mse',
  window: int = 9,
  field: str = 'displacement',
  squarings: int = 7,
  bidirectional: bool = False,
  passes: int = 1,
  smoothness: float = 0.01,
  smooth: float = 1.0,
  floor: float = 0.03,
  reweightings: int = 0,
  stiffness: float = 4.0,
  freedom: float = 4.0,
  refinement: Sequence[int] = (4, 2),
) -> Method:
  """Builds a network that registers a template to each scan, in 2-D or 3-D.

  For a moving image m and a fixed image f it minimises

    D(f, m o phi) + smoothness mean |grad v|^2,

  v being the output of the network. phi is the displacement v, or exp(v) for a velocity
  field. D is the mean squared difference over voxels ('mse') or the mean of 1 - squared
  local correlation ('ncc'); with `bidirectional` it is the mean of D(f, m o phi) and
  D(m, f o phi^-1). The squared differences of v between neighbours are averaged over
  voxels, components and axes, as in the program of the paper; the mean over voxels of
  the sum over components and axes is d^2 times as large, and its weight d^2 times
  smaller.

  The default widths are those of VoxelMorph-2; the decoder of VoxelMorph-1 is (32, 32,
  32, 32, 8, 8). Departures: images are continued by their border values, and the
  correlation has one epsilon for each variance.

  Args:
    shape: Spatial shape of the scans.
    channels: Number of contrasts.
    bins: Slice heights at which the template is kept; 1 for volumes.
    encoder: Widths of the encoder, see `nets.voxelmorph.Features`.
    decoder: Widths of the decoder. Without widths for the full grid (as many as the
      encoder and one) the field is predicted on half the grid.
    pairing: 'atlas' warps the template onto scans in training, 'scans' scans onto
      others of the batch; at inference the template is warped.
    similarity: 'mse' or 'ncc'.
    window: Odd edge length of the correlation's box, in voxels.
    field: 'displacement' or 'velocity', a stationary velocity field.
    squarings: Number of squarings in the integration of the velocity field.
    bidirectional: Compare the images in both directions; for velocity fields.
    passes: At inference, number of times that the network is applied: after the first
      to the moving image as warped so far, with the displacements composed (cascades of
      shared weights, Zhao et al. 2019, "Recursive cascaded networks"). 1 is VoxelMorph.
    smoothness: lambda, weight of the roughness of the field. Values of the paper for
      intensities in [0, 1]: about 0.01 for 'mse' and 1 for 'ncc'.
    smooth: Standard deviation in voxels of the Gaussian that smooths the template.
    floor: Smallest standard deviation of the scans at a voxel, in image units.
    reweightings: At inference, number of times that the displacement is refined with
      weights of its own residual (`families.robust_registration`); 0 keeps that of the
      network.
    stiffness: lambda of this refinement.
    freedom: Degrees of freedom of its weights.
    refinement: Its Gauss-Newton steps at each resolution, from the coarsest.

  Raises:
    ValueError: A name is unknown, a number is outside of its range, or `bidirectional`
      is asked of a displacement field, which has no inverse.
  """
  check_choice('field', field, FIELDS, 'voxelmorph')
  check_number('voxelmorph: smoothness', smoothness, 0)
  check_whole('voxelmorph: squarings', squarings, 1)
  check_whole('voxelmorph: passes', passes, 1)
  check_whole('voxelmorph: reweightings', reweightings, 0)
  check_number('voxelmorph: stiffness', stiffness, 0, above=True)
  check_number('voxelmorph: freedom', freedom, 0, above=True)
  on_full_grid(encoder, decoder)
  integrated = field == 'velocity'
  if bidirectional and not integrated:
    raise ValueError(
      f"voxelmorph: bidirectional with field '{field}'; allowed is field 'velocity', "
      'whose deformation has an inverse'
    )
  distance = distance_by(similarity, window)
  settings = None
  if reweightings:
    schedule = Schedule(tuple(refinement))
    settings = Settings(stiffness, reweightings, freedom, schedule)
  network = Field(encoder, decoder)

  def displacement(v):
    if integrated:
      return flow.exponential(v, shape, squarings)
    return flow.resize(v, shape)

  def output(params, pair: Pair):
    return network.apply({'params': params['field']}, pair.moving, pair.fixed)

  def loss(params, stats, pair: Pair, key):
    v = output(params, pair)
    if bidirectional:
      both_ways = jnp.split(displacement(jnp.concatenate([v, -v])), 2)
      everywhere = jnp.ones_like(pair.fixed[..., :1])
      data = energy.bidirectional(
        pair.fixed, pair.moving, everywhere, *both_ways, distance
      )
    else:
      data = distance(pair.fixed, warp(pair.moving, displacement(v)))
    terms = {'data': data, 'roughness': regularise.gradient_energy(v)}
    terms = {name: example_mean(x, pair.weight) for name, x in terms.items()}
    return terms['data'] + smoothness * terms['roughness'], (stats, terms)

  def predict(params, pair: Pair, key) -> dict[str, jax.Array]:
    v = output(params, pair)
    u = displacement(v)
    for _ in range(passes - 1):
      moved = pair._replace(moving=warp(pair.moving, u))
      u = flow.compose(u, displacement(output(params, moved)))
    # Composed displacements have no velocity field.
    velocity = {'velocity': v} if integrated and passes == 1 else {}
    return {'displacement': u, **velocity}

  return template_registration.make_method(
    fields_of(network),
    loss,
    predict,
    shape,
    channels,
    bins,
    pairing,
    smooth,
    floor,
    settings,
  )
