"""Functions that penalise velocity fields for being rough or large.

Weights multiply the squared differences and are averaged onto the edge, the pair of
voxels, that a difference spans, so that a mirrored field has the same energy and a
constant weight c gives c times the unweighted energy. (VoxelMorph's weights multiply
before squaring and come from one end of the edge.)
"""

import jax

KINDS = ('forward', 'central')
"""Allowed differences of `gradient_energy`."""


def gradient_energy(
  velocity: jax.Array, weight: jax.Array | None = None, kind: str = 'forward'
) -> jax.Array:
  """Computes the mean squared difference of a velocity field between neighbours.

  The energy is w_ij |v_i - v_j|^2 with the weights w_ij, averaged over edges ij (pairs
  of neighbouring voxels) and components, then over axes. The result is [B], one value
  per example.

  Args:
    velocity: v [B, *S, d].
    weight: Stiffness lambda(x) [B, *S, 1], from which w_ij are averaged; None is 1.
    kind: 'forward', v_(i+1) - v_i (VoxelMorph's Grad-l2); 'central',
      (v_(i+1) - v_(i-1)) / 2 on the interior (the published deformable auto-encoder).

  Raises:
    ValueError: `kind` is not in `KINDS`.

  Examples:
    >>> ramp = jnp.zeros((1, 3, 3, 2)).at[..., 0].set(jnp.arange(3.0)[None, :, None])
    >>> gradient_energy(ramp).tolist()  # one of two components, one of two axes
    [0.25]
  """
  if kind not in KINDS:
    raise ValueError(f'gradient_energy: kind {kind!r} must be one of {KINDS}')
  step = KINDS.index(kind) + 1
  axes = range(1, velocity.ndim - 1)
  return sum(
    _mean((difference(velocity, axis, step) / step) ** 2, edge_mean(weight, axis, step))
    for axis in axes
  ) / len(axes)


def magnitude_energy(velocity: jax.Array, weight: jax.Array | None = None) -> jax.Array:
  """Computes the weighted mean square of the components of a velocity field.

  The result is [B], the mean of mu v_i^2 of each example. `gradient_energy` is averaged
  over the d axes too: the ratio mu / lambda of sums over edges is mu / (d lambda) here.

  Args:
    velocity: v [B, *S, d].
    weight: Pull to rest mu(x) [B, *S, 1]; None is 1. It has to be exactly 0 outside of
      the gate (`gate.magnitude`): a small mu everywhere stops the registration of
      healthy anatomy.

  Examples:
    >>> magnitude_energy(jnp.full((1, 3, 3, 2), 2.0)).tolist()
    [4.0]
  """
  return _mean(velocity**2, weight)


def _slice(x: jax.Array, axis: int, start: int | None, stop: int | None) -> jax.Array:
  """Slices one axis."""
  return x[(slice(None),) * axis + (slice(start, stop),)]


def difference(x: jax.Array, axis: int, step: int = 1) -> jax.Array:
  """Subtracts from each element the element `step` places before it along an axis.

  The result x_(i+step) - x_i is shorter by `step` along the axis.

  Examples:
    >>> difference(jnp.array([[1.0, 4.0, 9.0]]), axis=1).tolist()
    [[3.0, 5.0]]
  """
  return _slice(x, axis, step, None) - _slice(x, axis, None, -step)


def edge_mean(weight: jax.Array | None, axis: int, step: int = 1) -> jax.Array | None:
  """Averages the weights of each two voxels that lie `step` apart along an axis.

  A weight of None stays None. The result is shorter by `step` along the axis.

  Examples:
    >>> edge_mean(jnp.array([[1.0, 3.0, 7.0]]), axis=1).tolist()
    [[2.0, 5.0]]
  """
  if weight is None:
    return None
  return (_slice(weight, axis, step, None) + _slice(weight, axis, None, -step)) / 2


def _mean(squares: jax.Array, weight: jax.Array | None) -> jax.Array:
  """Averages squares, times their weight if there is one, by example; [B]."""
  if weight is not None:
    squares = weight * squares
  return squares.mean(tuple(range(1, squares.ndim)))
