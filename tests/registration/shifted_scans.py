"""Scans of one anatomy that lies at several places."""

import jax.numpy as jnp

from tests.registration.warped_blobs import blobs
from uad_jax.registration.warp import warp

SHAPE = (24, 24)


def shifted(shifts):
  """Scans whose anatomy lies `shifts` voxels further along the first axis."""
  anatomy = jnp.tile(blobs(SHAPE), (len(shifts), 1, 1, 1))
  u = jnp.zeros((len(shifts), *SHAPE, 2)).at[..., 0].set(-shifts[:, None, None])
  image = warp(anatomy, u)
  return {
    'image': image,
    'mask': jnp.ones_like(image),
    'position': jnp.full(len(shifts), 0.5),
    'weight': jnp.ones(len(shifts)),
  }
