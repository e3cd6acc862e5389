"""Smoothness energies of a field with a stiffness for each voxel; all return [B].

Weights multiply the squared differences and are averaged onto the edge (or cell) that
a difference spans, so that a mirrored field has the same energy and a constant weight c
gives c times the plain one. (VoxelMorph's weights multiply before squaring and come
from one end of the edge.)
"""

import itertools

import jax

KINDS = ('forward', 'central')


def gradient_energy(
  velocity: jax.Array, weight: jax.Array | None = None, kind: str = 'forward'
) -> jax.Array:
  """The mean of w_ij |v_i - v_j|^2, over edges and components, then over axes, [B].

  Args:
    velocity: [B, *S, d].
    weight: [B, *S, 1], the stiffness lambda(x); None is 1.
    kind: 'forward', v_(i+1) - v_i (VoxelMorph's Grad-l2); 'central',
      (v_(i+1) - v_(i-1)) / 2 on the interior (the published deformable auto-encoder).
  """
  if kind not in KINDS:
    raise ValueError(f'gradient_energy: kind {kind!r} must be one of {KINDS}')
  step = KINDS.index(kind) + 1
  axes = range(1, velocity.ndim - 1)
  return sum(
    _mean((difference(velocity, axis, step) / step) ** 2, edge_mean(weight, axis, step))
    for axis in axes
  ) / len(axes)


def bending_energy(velocity: jax.Array, weight: jax.Array | None = None) -> jax.Array:
  """The mean of w |second derivatives of v|^2 (Rueckert et al. 1999), [B].

  Summed over the pairs of axes (a mixed pair counts twice), averaged over voxels and
  components. A mixed difference lives on a cell of four voxels and takes their mean
  weight.
  """
  axes = range(1, velocity.ndim - 1)
  total = 0.0
  for i, j in itertools.combinations_with_replacement(axes, 2):
    second = difference(difference(velocity, i), j)
    if i == j:
      inner = None if weight is None else _slice(weight, i, 1, -1)
      total = total + _mean(second**2, inner)
    else:
      total = total + 2 * _mean(second**2, edge_mean(edge_mean(weight, i), j))
  return total


def magnitude_energy(velocity: jax.Array, weight: jax.Array | None = None) -> jax.Array:
  """The mean of w |v_i|^2 over voxels and components, [B].

  The weight mu(x) has to be exactly 0 outside the gate (`gate.magnitude`): a small mu
  everywhere stops the registration of healthy anatomy. `gradient_energy` is averaged
  over the d axes too: the ratio mu / lambda of sums over edges is mu / (d lambda) here.
  """
  return _mean(velocity**2, weight)


def _slice(x: jax.Array, axis: int, start: int | None, stop: int | None) -> jax.Array:
  return x[(slice(None),) * axis + (slice(start, stop),)]


def difference(x: jax.Array, axis: int, step: int = 1) -> jax.Array:
  """x_(i+step) - x_i along one axis, on the edges."""
  return _slice(x, axis, step, None) - _slice(x, axis, None, -step)


def edge_mean(weight: jax.Array | None, axis: int, step: int = 1) -> jax.Array | None:
  """The mean weight of the two ends of each edge."""
  if weight is None:
    return None
  return (_slice(weight, axis, step, None) + _slice(weight, axis, None, -step)) / 2


def _mean(squares: jax.Array, weight: jax.Array | None) -> jax.Array:
  if weight is not None:
    squares = weight * squares
  return squares.mean(tuple(range(1, squares.ndim)))
