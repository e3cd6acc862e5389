"""What a gated registration minimises.

A data term that does not see what the gate hides, and a regularisation that is stiff
inside it.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax.ops import filters
from uad_jax.ops.losses import per_example
from uad_jax.registration import gate, regularise
from uad_jax.registration.warp import warp

Array = jax.Array


class Gating(NamedTuple):
  """What a gate g in [0, 1] does to a registration at strength lambda0.

  Attributes:
    ratio: lambda = lambda0 ratio^g; 1 leaves the stiffness uniform.
    magnitude: mu = magnitude lambda0 g; 0 pulls nothing to rest.
    rho: omega = 1 - rho dilate(g); 0 lets the similarity see the lesion.
    dilation: Voxels by which the gate is dilated for omega.
  """

  ratio: float = 10.0
  magnitude: float = 1.0
  rho: float = 1.0
  dilation: int = 1

  def maps(self, g: Array, lambda0: float | Array) -> tuple[Array, Array]:
    """lambda and mu on the grid of g [B, *S, 1]; lambda0 broadcasts with it."""
    return (
      gate.stiffness(g, lambda0, self.ratio),
      gate.magnitude(g, self.magnitude * lambda0),
    )

  def data_weight(self, g: Array) -> Array:
    """omega on the grid of g."""
    return gate.data_weight(g, self.rho, self.dilation)


def on_grid(g: Array, velocity: Array) -> Array:
  """The gate [B, *S, 1] on the grid of a velocity field."""
  return jax.image.resize(g, (*velocity.shape[:-1], 1), 'linear')


def regularisation(velocity: Array, g: Array, lambda0: Array, how: Gating) -> Array:
  """mean lambda |grad v|^2 + mean mu |v|^2; [B].

  Args:
    velocity: [B, *V, d] in voxels of its grid.
    g: [B, *S, 1].
    lambda0: [B].
    how: What the gate does.
  """
  g = on_grid(g, velocity)
  stiffness, pull = how.maps(g, per_example(lambda0, g))
  return regularise.gradient_energy(velocity, stiffness) + regularise.magnitude_energy(
    velocity, pull
  )


def bidirectional(
  image: Array,
  expected: Array,
  weight: Array,
  there: Array,
  back: Array,
  distance: Callable[[Array, Array, Array], Array],
) -> Array:
  """1/2 [D(x, x_ph o phi; omega) + D(x_ph, x o phi^-1; omega o phi^-1)]; [B].

  Args:
    image: x [B, *S, C].
    expected: x_ph [B, *S, C].
    weight: omega [B, *S, 1], 0 outside of the brain.
    there: Displacement of phi [B, *S, d] in voxels.
    back: Displacement of phi^-1.
    distance: (a, b, weight) -> D by image.
  """
  # Both directions as one batch: half the compilation.
  both = distance(
    jnp.concatenate([image, expected]),
    jnp.concatenate([warp(expected, there), warp(image, back)]),
    jnp.concatenate([weight, warp(weight, back)]),
  )
  return 0.5 * sum(jnp.split(both, 2))


def parted(disturbed: Array, wanted: Array, g: Array, radius: int = 2) -> Array:
  """|v - v_twin|_1 per voxel in and around the gate; [B], 0 where it is closed.

  Args:
    disturbed: Field of the painted scan [B, *V, d].
    wanted: That of its untouched twin, taken as a constant.
    g: The gate of the painted scan [B, *S, 1].
    radius: Voxels by which "around" reaches.
  """
  near = filters.dilate(on_grid(g, disturbed), radius)
  apart = jnp.abs(disturbed - jax.lax.stop_gradient(wanted)) * near
  axes = tuple(range(1, apart.ndim))
  return apart.sum(axes) / jnp.maximum(near.sum(axes), 1.0)
