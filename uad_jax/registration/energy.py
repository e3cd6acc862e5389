"""Loss terms for a registration that must not deform images to match lesions.

A lesion map in [0, 1], the gate, tells the registration where lesions are. The terms
are the distance of the images, which does not count the voxels that the gate hides; the
regularisation, which is stiffer inside the gate; and the twin loss, which compares the
velocity fields of a scan with and without a synthetic lesion.
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
  """Settings that say how strongly a lesion map changes a registration.

  The lesion map in [0, 1] is the gate g. lambda0 is the strength of the regularisation
  outside of the gate.

  Attributes:
    ratio: Stiffness lambda = lambda0 ratio^g; 1 leaves the stiffness uniform.
    magnitude: Pull to rest (zero velocity) mu = magnitude lambda0 g; 0 switches it off.
    rho: Data weight omega = 1 - rho dilate(g); 0 lets the lesion count in the distance.
    dilation: Voxels by which the gate is dilated for omega.
  """

  ratio: float = 10.0
  magnitude: float = 1.0
  rho: float = 1.0
  dilation: int = 1

  def maps(self, g: Array, lambda0: float | Array) -> tuple[Array, Array]:
    """Computes the two maps that weight the regularisation of a velocity field.

    They are computed from a gate: the stiffness lambda and the pull mu to zero
    velocity.

    Args:
      g: Gate [B, *S, 1].
      lambda0: Stiffness outside of the gate, a scalar or [B, 1, ..., 1].

    Returns:
      lambda and mu, each [B, *S, 1].
    """
    return (
      gate.stiffness(g, lambda0, self.ratio),
      gate.magnitude(g, self.magnitude * lambda0),
    )

  def data_weight(self, g: Array) -> Array:
    """Computes the weight of each voxel in the image distance, low at lesions.

    The weights omega [B, *S, 1] are computed from a gate g [B, *S, 1].
    """
    return gate.data_weight(g, self.rho, self.dilation)


def on_grid(g: Array, velocity: Array) -> Array:
  """Resizes a lesion map (gate) to the grid of a velocity field.

  The gate is [B, *S, 1], the velocity field [B, *V, d] and the result [B, *V, 1].

  Examples:
    >>> on_grid(jnp.ones((1, 8, 8, 1)), jnp.zeros((1, 4, 4, 2))).shape
    (1, 4, 4, 1)
  """
  return jax.image.resize(g, (*velocity.shape[:-1], 1), 'linear')


def regularisation(velocity: Array, g: Array, lambda0: Array, gating: Gating) -> Array:
  """Computes the regularisation loss of a velocity field, weighted higher at lesions.

  It is mean lambda |grad v|^2 + mean mu |v|^2 of the field v, [B], with the means of
  `regularise`; the stiffness lambda and the pull mu rise with the gate g.

  Args:
    velocity: [B, *V, d] in voxels of its grid.
    g: Gate [B, *S, 1].
    lambda0: Stiffness outside of the gate, [B].
    gating: Effects of the gate on the stiffness lambda and the pull to rest mu.

  Examples:
    >>> velocity, strength = jnp.full((1, 4, 4, 2), 2.0), jnp.array([0.5])
    >>> for g in (0.0, 1.0):  # closed; open: it pulls to rest by 0.5 |v|^2
    ...   gate_map = jnp.full((1, 4, 4, 1), g)
    ...   print(regularisation(velocity, gate_map, strength, Gating()).tolist())
    [0.0]
    [2.0]
  """
  g = on_grid(g, velocity)
  stiffness, pull = gating.maps(g, per_example(lambda0, g))
  return regularise.gradient_energy(velocity, stiffness) + regularise.magnitude_energy(
    velocity, pull
  )


def bidirectional(
  image: Array,
  expected: Array,
  weight: Array,
  forward: Array,
  backward: Array,
  distance: Callable[[Array, Array, Array], Array],
) -> Array:
  """Computes the distance of scan and expected image, averaged over both warps.

  Once the expected image is warped to the scan, once the scan to the expected image:
  1/2 [D(x, x_ph o phi; omega) + D(x_ph, x o phi^-1; omega o phi^-1)], [B].

  Args:
    image: Scan x [B, *S, C].
    expected: Prior image x_ph [B, *S, C], the healthy image that a model predicts.
    weight: Weight omega of the voxels [B, *S, 1], 0 outside of the brain.
    forward: Displacement field of phi [B, *S, d] in voxels.
    backward: Displacement field of phi^-1, as forward.
    distance: Function (a, b, weight) -> D [B], as `similarity.distance` returns it.

  Examples:
    >>> from uad_jax.registration.similarity import mse
    >>> image, rest = jnp.full((1, 4, 4, 1), 2.0), jnp.zeros((1, 4, 4, 2))
    >>> weight = jnp.ones((1, 4, 4, 1))
    >>> bidirectional(image, 0 * image, weight, rest, rest, mse).tolist()
    [4.0]
  """
  # Both directions as one batch: half the compilation.
  both = distance(
    jnp.concatenate([image, expected]),
    jnp.concatenate([warp(expected, forward), warp(image, backward)]),
    jnp.concatenate([weight, warp(weight, backward)]),
  )
  return 0.5 * sum(jnp.split(both, 2))


def twin_difference(painted: Array, twin: Array, g: Array, radius: int = 2) -> Array:
  """Measures how much a synthetic lesion changes the velocity field of a scan.

  This is the twin loss [B], the mean |v - v_twin|_1 per voxel in and around the gate,
  where v belongs to a scan with a synthetic (painted) lesion and v_twin to its
  lesion-free twin, the same scan without the lesion. It is 0 where the gate is closed
  everywhere.

  Args:
    painted: Velocity field v of the scan with the lesion [B, *V, d].
    twin: Velocity field v_twin of the scan without it, as painted; it gets no gradient.
    g: Gate of the scan with the lesion [B, *S, 1].
    radius: Voxels of the field's grid by which the gate is dilated.

  Examples:
    >>> twin, g = jnp.zeros((1, 4, 4, 2)), jnp.ones((1, 4, 4, 1))
    >>> twin_difference(twin + 0.5, twin, g).tolist()
    [1.0]
  """
  near = filters.dilate(on_grid(g, painted), radius)
  difference = jnp.abs(painted - jax.lax.stop_gradient(twin)) * near
  axes = tuple(range(1, difference.ndim))
  return difference.sum(axes) / jnp.maximum(near.sum(axes), 1.0)
