"""Random changes of a batch of scans, on the device: place and intensity.

Pure functions of (key, batch), 2-D and 3-D by the shape, drawn anew for each example;
images are 0 outside of the mask and stay so.
"""

import math

import jax
import jax.numpy as jnp

from uad_jax.augmentation.lesion_shapes import smooth
from uad_jax.method import Batch, Key
from uad_jax.ops import affine_matrix
from uad_jax.ops.losses import masked_mean, per_example
from uad_jax.registration.warp import grid, warp

Array = jax.Array

CELLS = 4
"""Points along each axis between which a bias field is interpolated."""


def flip(key: Key, batch: Batch, axis: int) -> Batch:
  """Half of the examples mirrored along a spatial axis, 0 being left to right."""
  if not 0 <= axis < batch['image'].ndim - 2:
    raise ValueError(
      f'flip: axis {axis} of images of shape {batch["image"].shape}; allowed are 0 to '
      f'{batch["image"].ndim - 3}'
    )
  mirrored = jax.random.bernoulli(key, 0.5, (len(batch['image']),))

  def one(value):
    turned = jnp.flip(value, 1 + axis)
    return jnp.where(per_example(mirrored, value), turned, value)

  return {**batch, 'image': one(batch['image']), 'mask': one(batch['mask'])}


def moved(batch: Batch, linear: Array, shift: Array) -> Batch:
  """x'(p) = x(c + A (p - c) + t), about the grid's centre c; the mask alike.

  The image is interpolated linearly, the mask takes the nearest voxel; what comes from
  outside of the grid is 0.

  Args:
    batch: With 'image' [B, *S, C] and 'mask' [B, *S, 1].
    linear: A [B, d, d].
    shift: t [B, d], voxels.
  """
  image, mask = batch['image'], batch['mask']
  shape = image.shape[1:-1]
  ones = (1,) * len(shape)
  centre = (jnp.array(shape, jnp.float32) - 1) / 2
  centred = grid(shape) - centre.reshape(*ones, -1)
  away = linear - jnp.eye(len(shape))[None]
  # On accelerators a product is of lower precision by default: here, tenths of a voxel.
  displacement = jnp.einsum('bij,...j->b...i', away, centred, precision='highest')
  displacement += shift.reshape(len(image), *ones, -1)
  mask = warp(mask, displacement, 'nearest', 'zeros')
  image = warp(image, displacement, 'linear', 'zeros') * mask
  return {**batch, 'image': image, 'mask': mask}


def affine(
  key: Key,
  batch: Batch,
  rotate: float = 0.0,
  scale: float = 0.0,
  shift: float = 0.0,
  shear: float = 0.0,
) -> Batch:
  """Each example moved by a random affine; see `moved`.

  A = R diag(exp(s)) H of `ops.affine_matrix`, of which 2-D has one angle and one shear.

  Args:
    key: Used once.
    batch: With 'image' [B, *S, C] and 'mask' [B, *S, 1].
    rotate: Angles are uniform in [-rotate, rotate] degrees.
    scale: Log scales of the axes, in [-scale, scale].
    shift: Along the axes, in [-shift, shift] voxels.
    shear: In [-shear, shear].
  """
  image = batch['image']
  d = image.ndim - 2
  ranges = jnp.repeat(jnp.array([shift, math.radians(rotate), scale, shear]), 3)
  if d == 2:  # the third axis stays: only the turn about it, and the shear of x by y
    ranges *= jnp.array([1.0, 1, 0, 0, 0, 1, 1, 1, 0, 1, 0, 0])
  drawn = jax.random.uniform(key, (len(image), 12), minval=-1.0, maxval=1.0)
  matrices = jax.vmap(affine_matrix.matrix)(drawn * ranges[None])
  return moved(batch, matrices[:, :d, :d], matrices[:, :d, 3])


def contrast(key: Key, batch: Batch, gamma: float, gain: float) -> Batch:
  """Intensities to a power and times a factor: x -> exp(b) x^exp(a), by example.

  a is uniform in [-gamma, gamma], b in [-gain, gain]; what is not positive stays.
  """
  image = batch['image']
  drawn = jax.random.uniform(key, (2, len(image)), minval=-1.0, maxval=1.0)
  a, b = (per_example(value, image) for value in drawn)
  safe = jnp.maximum(image, 1e-6)
  changed = jnp.exp(gain * b) * safe ** jnp.exp(gamma * a)
  return {**batch, 'image': jnp.where(image > 0, changed, image)}


def bias_field(coarse: Array, mask: Array) -> Array:
  """exp(f - mean of f in the mask), f being cubic between coarse values; [B, *S, 1].

  Args:
    coarse: Log factors [B, n, ..., n].
    mask: [B, *S, 1].
  """
  log = smooth(coarse, mask.shape[:-1])[..., None]
  return jnp.exp(log - per_example(jax.vmap(masked_mean)(log, mask), log))


def bias(key: Key, batch: Batch, strength: float) -> Batch:
  """A smooth receive field: x -> x exp(f), f of mean 0 in the mask, alike in channels.

  f is cubic between 4 points along each axis, which are uniform in
  [-strength, strength].
  """
  mask = batch['mask']
  shape = (len(mask), *[CELLS] * (mask.ndim - 2))
  coarse = jax.random.uniform(key, shape, minval=-strength, maxval=strength)
  return {**batch, 'image': batch['image'] * bias_field(coarse, mask)}


def noise(key: Key, batch: Batch, deviation: float) -> Batch:
  """x -> x + sigma n in the mask, n standard normal.

  sigma is uniform in [0, deviation] by example. Rician noise is close to that where x
  is above 3 sigma, and needs intensities that are magnitudes.
  """
  image = batch['image']
  key_sigma, key_noise = jax.random.split(key)
  sigma = jax.random.uniform(key_sigma, (len(image),), maxval=deviation)
  drawn = jax.random.normal(key_noise, image.shape)
  changed = image + per_example(sigma, image) * drawn * batch['mask']
  return {**batch, 'image': changed}
