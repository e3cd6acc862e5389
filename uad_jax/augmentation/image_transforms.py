"""Random transforms of image batches: geometry, contrast, bias field and noise.

Pure JAX functions of (key, batch) for 2-D and 3-D images; each example is transformed
differently. Images are 0 outside of the brain mask and stay so.
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
"""Nodes along each axis between which a bias field is interpolated."""


def flip(key: Key, batch: Batch, axis: int) -> Batch:
  """Mirrors each example of a batch along a spatial axis with probability 1/2.

  Args:
    key: Random key.
    batch: With 'image' [B, *S, C] and 'mask' [B, *S, 1].
    axis: Spatial axis; 0 is left to right.

  Returns:
    The batch with new 'image' and 'mask'.

  Raises:
    ValueError: The images have no such axis.
  """
  if not 0 <= axis < batch['image'].ndim - 2:
    raise ValueError(
      f'flip: axis {axis} of images of shape {batch["image"].shape}; allowed are 0 to '
      f'{batch["image"].ndim - 3}'
    )
  mirrored = jax.random.bernoulli(key, 0.5, (len(batch['image']),))

  def flip_some(value):
    flipped = jnp.flip(value, 1 + axis)
    return jnp.where(per_example(mirrored, value), flipped, value)

  flipped = {name: flip_some(batch[name]) for name in ('image', 'mask')}
  return {**batch, **flipped}


def affine_displacement(linear: Array, shift: Array, shape: tuple[int, ...]) -> Array:
  """Computes the displacement field of an affine map about the centre of the grid.

  u(p) = c + A (p - c) + t - p, with the centre c of the grid.

  Args:
    linear: A [B, d, d].
    shift: t [B, d] in voxels.
    shape: Sizes of the grid's d axes.

  Returns:
    [B, *S, d] in voxels.
  """
  ones = (1,) * len(shape)
  centre = (jnp.array(shape, jnp.float32) - 1) / 2
  centred = grid(shape) - centre.reshape(*ones, -1)
  difference = linear - jnp.eye(len(shape))[None]
  # On accelerators a product is of lower precision by default: here, tenths of a voxel.
  displacement = jnp.einsum('bij,...j->b...i', difference, centred, precision='highest')
  return displacement + shift.reshape(len(shift), *ones, -1)


def moved(batch: Batch, linear: Array, shift: Array) -> Batch:
  """Applies a given affine map to the image and the mask of each example of a batch.

  With the centre c of the grid, x'(p) = x(c + A (p - c) + t). Images are interpolated
  linearly, masks take the nearest voxel; outside of the grid both are 0.

  Args:
    batch: With 'image' [B, *S, C] and 'mask' [B, *S, 1].
    linear: A [B, d, d].
    shift: t [B, d] in voxels.

  Returns:
    The batch with new 'image' and 'mask'.
  """
  image, mask = batch['image'], batch['mask']
  displacement = affine_displacement(linear, shift, image.shape[1:-1])
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
  """Rotates, scales, shears and shifts each example of a batch at random.

  The affine map acts about the grid's centre, by `moved`. A = R diag(exp(s)) H of
  `ops.affine_matrix`; in 2-D there is one angle and one shear.

  Args:
    key: Random key.
    batch: With 'image' [B, *S, C] and 'mask' [B, *S, 1].
    rotate: Angles are uniform in [-rotate, rotate] degrees.
    scale: Log scales of the axes are uniform in [-scale, scale].
    shift: Translations along the axes are uniform in [-shift, shift] voxels.
    shear: Shears are uniform in [-shear, shear].

  Returns:
    The batch with new 'image' and 'mask'.
  """
  image = batch['image']
  d = image.ndim - 2
  ranges = jnp.repeat(jnp.array([shift, math.radians(rotate), scale, shear]), 3)
  if d == 2:  # the third axis stays: only the turn about it, and the shear of x by y
    ranges *= jnp.array([1.0, 1, 0, 0, 0, 1, 1, 1, 0, 1, 0, 0])
  drawn = jax.random.uniform(key, (len(image), 12), minval=-1.0, maxval=1.0)
  matrices = jax.vmap(affine_matrix.matrix)(drawn * ranges[None])
  return moved(batch, matrices[:, :d, :d], matrices[:, :d, 3])


def curved(image: Array, a: Array, b: Array) -> Array:
  """Applies a given power and factor to the intensities of each example.

  Intensities x > 0 become exp(b) x^exp(a); others are not changed. The inverse has -a
  and -b exp(-a).

  Args:
    image: [B, *S, C].
    a: [B].
    b: [B].
  """
  a, b = (per_example(value, image) for value in (a, b))
  changed = jnp.exp(b) * jnp.maximum(image, 1e-6) ** jnp.exp(a)
  return jnp.where(image > 0, changed, image)


def contrast(key: Key, batch: Batch, gamma: float, gain: float) -> Batch:
  """Changes the contrast and the brightness of each example of a batch at random.

  The intensities are changed by `curved`.

  Args:
    key: Random key.
    batch: With 'image' [B, *S, C].
    gamma: a is uniform in [-gamma, gamma].
    gain: b is uniform in [-gain, gain].

  Returns:
    The batch with a new 'image'.
  """
  image = batch['image']
  a, b = jax.random.uniform(key, (2, len(image)), minval=-1.0, maxval=1.0)
  return {**batch, 'image': curved(image, gamma * a, gain * b)}


def bias_field(coarse: Array, mask: Array) -> Array:
  """Computes a smooth bias field for each example from values on a coarse grid.

  A bias field holds factors for the intensities. The values are log factors; with their
  cubic interpolation f, the field is exp(f - mean of f in the mask).

  Args:
    coarse: Log factors [B, n, ..., n].
    mask: Brain mask [B, *S, 1].

  Returns:
    Factors [B, *S, 1].
  """
  log = smooth(coarse, mask.shape[:-1])[..., None]
  return jnp.exp(log - per_example(jax.vmap(masked_mean)(log, mask), log))


def bias(key: Key, batch: Batch, strength: float) -> Batch:
  """Multiplies each example of a batch by a random smooth bias field.

  The field is exp(f). f interpolates random values at `CELLS` nodes along each axis by
  cubics; its mean in the brain mask is 0, and all channels share it.

  Args:
    key: Random key.
    batch: With 'image' [B, *S, C] and 'mask' [B, *S, 1].
    strength: The nodes of f are uniform in [-strength, strength].

  Returns:
    The batch with a new 'image'.
  """
  mask = batch['mask']
  shape = (len(mask), *[CELLS] * (mask.ndim - 2))
  coarse = jax.random.uniform(key, shape, minval=-strength, maxval=strength)
  return {**batch, 'image': batch['image'] * bias_field(coarse, mask)}


def noise(key: Key, batch: Batch, deviation: float) -> Batch:
  """Adds Gaussian noise of random strength to each example, inside of the brain mask.

  Intensities x become x + sigma n with standard normal n. Rician noise is close to that
  where x is above 3 sigma, and needs intensities that are magnitudes.

  Args:
    key: Random key.
    batch: With 'image' [B, *S, C] and 'mask' [B, *S, 1].
    deviation: sigma is uniform in [0, deviation], in image units.

  Returns:
    The batch with a new 'image'.
  """
  image = batch['image']
  key_sigma, key_noise = jax.random.split(key)
  sigma = jax.random.uniform(key_sigma, (len(image),), maxval=deviation)
  drawn = jax.random.normal(key_noise, image.shape)
  changed = image + per_example(sigma, image) * drawn * batch['mask']
  return {**batch, 'image': changed}
