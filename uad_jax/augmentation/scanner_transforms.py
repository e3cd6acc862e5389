"""Random transforms of image batches as between scanners: contrast and resolution.

Pure JAX functions for 2-D and 3-D images. They act within the brain mask: background
and mask stay as they are.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from uad_jax.method import Batch, Key

Array = jax.Array

SEGMENTS = 8
"""Pieces of a random intensity curve, of equal width over the range of the brain."""

FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))
"""Full width at half maximum of a normal density of deviation 1."""


def curve(image: Array, mask: Array, increments: Array) -> Array:
  """Applies a monotone, piecewise linear curve to the brain intensities of each scan.

  The range [low, high] of the brain voxels of a scan and a contrast is cut into pieces
  of equal width; the curve rises over piece k by the share p_k of the range, from low
  to low and from high to high. Increments that are equal leave the image unchanged.

  Args:
    image: [B, *S, C].
    mask: Brain masks [B, *S, 1].
    increments: p [B, K, C], positive, with sum 1 over the pieces.

  Returns:
    [B, *S, C], unchanged outside of the mask.
  """
  space = tuple(range(1, image.ndim - 1))
  inside = jnp.broadcast_to(mask > 0, image.shape)
  empty = ~inside.any(space, keepdims=True)
  low = jnp.where(inside, image, jnp.inf).min(space, keepdims=True)
  high = jnp.where(inside, image, -jnp.inf).max(space, keepdims=True)
  low, high = jnp.where(empty, 0.0, low), jnp.where(empty, 1.0, high)
  pieces = increments.shape[1]
  width = (high - low) / pieces
  changed = jnp.broadcast_to(low, image.shape)
  for k in range(pieces):
    slope = pieces * increments[:, k].reshape(low.shape)
    changed = changed + slope * jnp.clip(image - low - k * width, 0.0, width)
  return jnp.where(inside, jnp.clip(changed, low, high), image)


def random_curve(key: Key, batch: Batch, strength: float) -> Batch:
  """Applies a random monotone intensity curve to each scan and contrast of a batch.

  The increments of `curve` are softmax(strength n) with standard normal n: the slopes
  of its pieces differ by factors of about exp(strength).

  Args:
    key: Random key.
    batch: With 'image' [B, *S, C] and 'mask' [B, *S, 1].
    strength: Deviation of the log slopes, 0 or more.

  Returns:
    The batch with a new 'image', of the same range and order of brain intensities.
  """
  image = batch['image']
  drawn = jax.random.normal(key, (len(image), SEGMENTS, image.shape[-1]))
  increments = jax.nn.softmax(strength * drawn, axis=1)
  return {**batch, 'image': curve(image, batch['mask'], increments)}


def averaged(batch: Batch, matrices: tuple[Array, ...]) -> Batch:
  """Replaces brain voxels by weighted means of brain voxels, axis after axis.

  Normalised convolution (Knutsson and Westin 1993): with the linear operator A, the
  product of one matrix for each axis, x' = A (m x) / A m in the mask m, so that the
  background does not darken the rim of the brain.

  Args:
    batch: With 'image' [B, *S, C] and 'mask' [B, *S, 1].
    matrices: For each spatial axis of length n the weights [B, n, n], not negative, row
      by row of the new voxels.

  Returns:
    The batch with a new 'image'.
  """
  image, mask = batch['image'], batch['mask']
  both = jnp.concatenate([image * mask, mask], -1)
  for axis, matrix in enumerate(matrices, 1):
    lines = jnp.moveaxis(both, axis, 1)
    lines = jnp.einsum('bij,bj...->bi...', matrix, lines, precision='highest')
    both = jnp.moveaxis(lines, 1, axis)
  mean = both[..., :-1] / jnp.maximum(both[..., -1:], 1e-6)
  return {**batch, 'image': jnp.where(mask > 0, mean, image)}


def gaussian_matrix(size: int, fwhm: Array) -> Array:
  """Computes the weights of a Gaussian filter along an axis, one filter for each scan.

  Args:
    size: Length n of the axis in voxels.
    fwhm: Full width at half maximum in voxels [B]; 0 for no filter.

  Returns:
    [B, n, n]; rows add up to 1.
  """
  place = jnp.arange(size, dtype=jnp.float32)
  square = (place[:, None] - place[None]) ** 2
  sigma = jnp.maximum(fwhm / FWHM_PER_SIGMA, 1e-2)
  weight = jnp.exp(-0.5 * square[None] / sigma[:, None, None] ** 2)
  return weight / weight.sum(-1, keepdims=True)


def random_blur(key: Key, batch: Batch, fwhm: float) -> Batch:
  """Blurs each scan of a batch along one random axis, or along all the other axes.

  The first is a scan with thick slices, the second one with a coarse plane; each has
  probability 1/2, and the axis is uniform. The filter is Gaussian within the brain (see
  `averaged`).

  Args:
    key: Random key.
    batch: With 'image' [B, *S, C] and 'mask' [B, *S, 1].
    fwhm: The full width at half maximum is uniform in [0, fwhm] voxels.

  Returns:
    The batch with a new 'image', within the range of its brain intensities.
  """
  shape = batch['image'].shape
  axis, key_plane, key_width = _random_axis(key, shape)
  plane = jax.random.bernoulli(key_plane, 0.5, (shape[0],))
  width = jax.random.uniform(key_width, (shape[0],), maxval=fwhm)
  matrices = tuple(
    gaussian_matrix(size, jnp.where((axis == i) != plane, width, 0.0))
    for i, size in enumerate(shape[1:-1])
  )
  return averaged(batch, matrices)


def slab_matrix(size: int, thickness: int) -> np.ndarray:
  """Computes the weights of thick slices along an axis: slab means, interpolated.

  Slabs of `thickness` voxels (the last may be thinner) are averaged, and the grid takes
  the linear interpolation between the centres of the slabs; beyond the outer centres
  the value of the outer slab.

  Args:
    size: Length n of the axis in voxels.
    thickness: Voxels of a slab, 1 or more; 1 is the identity.

  Returns:
    [n, n] float32; rows add up to 1.
  """
  slab = np.arange(size) // thickness
  means = (slab[None] == np.arange(slab[-1] + 1)[:, None]).astype(np.float32)
  means /= means.sum(1, keepdims=True)
  centres = means @ np.arange(size)
  unit = np.eye(len(centres))
  rows = [np.interp(np.arange(size), centres, row) for row in unit]
  return (np.stack(rows, 1) @ means).astype(np.float32)


def random_slices(key: Key, batch: Batch, thickness: int) -> Batch:
  """Gives each scan of a batch thick slices along one random axis (see `slab_matrix`).

  Args:
    key: Random key.
    batch: With 'image' [B, *S, C] and 'mask' [B, *S, 1].
    thickness: The slices are 1, 2, ... or `thickness` voxels thick, equally probable.

  Returns:
    The batch with a new 'image', within the range of its brain intensities.
  """
  shape = batch['image'].shape
  axis, key_thickness, _ = _random_axis(key, shape)
  drawn = jax.random.randint(key_thickness, (shape[0],), 0, thickness)
  matrices = []
  for i, size in enumerate(shape[1:-1]):
    table = np.stack([slab_matrix(size, k + 1) for k in range(thickness)])
    matrices.append(jnp.asarray(table)[jnp.where(axis == i, drawn, 0)])
  return averaged(batch, tuple(matrices))


def _random_axis(key: Key, shape: tuple[int, ...]) -> tuple[Array, Key, Key]:
  """A spatial axis for each scan, from 0, and two further keys."""
  key_axis, first, second = jax.random.split(key, 3)
  return jax.random.randint(key_axis, (shape[0],), 0, len(shape) - 2), first, second
