"""Warped scans of one anatomy, lesions in them, and a fitted `moment_registration`."""

import jax
import jax.numpy as jnp

from tests.registration.warped_blobs import blobs, smooth_field
from uad_jax.methods import moment_registration
from uad_jax.registration.warp import warp

SHAPE = (24, 24)
OPTIONS = dict(
  rounds=2,
  smooth=0.0,
  steps=(6, 4),
  refinement=(4,),
  stiffness=2.0,
  first_stiffness=200.0,
  reweightings=4,
  freedom=8.0,
  solves=12,
  compositions=0,
)


def scans(count, first=0, size=1.5):
  """Scans of one anatomy, each warped by a field of its own, as a batch."""
  anatomy = blobs(SHAPE)
  image = jnp.concatenate(
    [warp(anatomy, smooth_field(SHAPE, size, first + i)) for i in range(count)]
  )
  return {
    'image': image,
    'mask': jnp.ones_like(image),
    'position': jnp.full(count, 0.5),
    'weight': jnp.ones(count),
  }


def fitted(**options):
  """The method after one pass over twelve scans."""
  method = moment_registration.make(SHAPE, **{**OPTIONS, **options})
  batch, key = scans(12), jax.random.key(0)
  _, stats = method.init(key, batch)
  metrics = {}
  for objective in method.objectives.values():
    _, (stats, last) = jax.jit(objective.loss)({}, stats, batch, key, 0)
    metrics |= last
  return method, stats, metrics


def lesion_of(batch):
  """A bright block in each scan, and the batch with it."""
  block = jnp.zeros_like(batch['mask']).at[:, 10:14, 9:14].set(1.0)
  return block, {**batch, 'image': batch['image'] + 0.8 * block}
