"""Functions that move scans by a known map and move outputs of a method back.

The scan x becomes x'(p) = x(M p) with M p = c + A (p - c) + t, c the grid's centre
(`image_transforms.moved`).
"""

import jax
import jax.numpy as jnp

from uad_jax.augmentation.image_transforms import affine_displacement
from uad_jax.method import Array, Key
from uad_jax.ops import affine_matrix
from uad_jax.registration.warp import warp

TEMPLATES = ('moving', 'fixed')
"""Whether the image that a displacement field warps moves with the scan."""

Motion = tuple[Array, Array]
"""Matrices A [B, d, d] and shifts t [B, d] in voxels."""


def draw(
  key: Key, size: int, d: int, shift: int, rotate: float, mirror: bool
) -> Motion:
  """Draws a motion for each example: shift by whole voxels, rotation, mirroring.

  Args:
    key: Random key.
    size: Number of examples, B.
    d: Number of spatial axes, 2 or 3.
    shift: Shifts are whole numbers in [-shift, shift], in voxels.
    rotate: Angles are uniform in [-rotate, rotate] degrees; in 2-D there is one.
    mirror: Mirror the first axis with probability 1/2.
  """
  key_shift, key_angle, key_mirror = jax.random.split(key, 3)
  t = jax.random.randint(key_shift, (size, d), -shift, shift + 1)
  linear = jnp.tile(jnp.eye(d)[None], (size, 1, 1))
  if rotate:
    angles = jax.random.uniform(key_angle, (size, 3), minval=-1, maxval=1)
    angles = jnp.deg2rad(rotate) * angles
    if d == 2:
      angles = angles.at[:, :2].set(0.0)  # only the turn about the third axis
    numbers = jnp.zeros((size, 12)).at[:, 3:6].set(angles)
    linear = jax.vmap(affine_matrix.matrix)(numbers)[:, :d, :d]
  if mirror:
    sign = 1 - 2.0 * jax.random.bernoulli(key_mirror, 0.5, (size,))
    linear = linear.at[:, :, 0].multiply(sign[:, None])
  return linear, t.astype(jnp.float32)


def inverse(motion: Motion) -> Motion:
  """Computes the inverse motion: M^-1 p = c + A^-1 (p - c) - A^-1 t."""
  linear, shift = motion
  back = jnp.linalg.inv(linear)
  return back, -jnp.einsum('bij,bj->bi', back, shift, precision='highest')


def displacement_back(motion: Motion, shape: tuple[int, ...]) -> Array:
  """Computes the displacement field M^-1 q - q of the inverse motion, [B, *S, d]."""
  return affine_displacement(*inverse(motion), shape)


def moved_back(value: Array, motion: Motion) -> Array:
  """Moves images that were computed for moved scans back to the scans.

  y(q) = y'(M^-1 q), by linear interpolation.

  Args:
    value: y' [B, *S, C].
    motion: Motion of the scans.
  """
  return warp(value, displacement_back(motion, value.shape[1:-1]))


def field_moved_back(field: Array, motion: Motion, template: str) -> Array:
  """Moves displacement fields that were computed for moved scans back to the scans.

  With q = M p and u' the field of the moved scan: where the warped image moves with the
  scan, u(q) = A u'(M^-1 q); where it is a fixed template,
  u(q) = M^-1 q - q + u'(M^-1 q).

  Args:
    field: u' [B, *S, d] in voxels.
    motion: Motion of the scans.
    template: 'moving' or 'fixed'.
  """
  back = moved_back(field, motion)
  if template == 'fixed':
    return displacement_back(motion, field.shape[1:-1]) + back
  return jnp.einsum('bij,b...j->b...i', motion[0], back, precision='highest')
