"""Perturbations of a batch of scans for robust training: by voxel, or smooth fields."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from uad_jax.augmentation.lesion_shapes import smooth
from uad_jax.method import Array, Batch
from uad_jax.ops.choices import choose
from uad_jax.ops.inner_maximisation import Cost, damped_solve, mean_square, voxel_shares
from uad_jax.ops.losses import example_sum, per_example

DAMPING = 0.1
"""Damping of the steps in the metric of fields: an exponent and a field that undo each
other have almost no cost."""

LIMIT = 1.0
"""Bound of the log field at its nodes, and of the log exponent."""


class Space(NamedTuple):
  """Set of perturbed images of a batch, by a parameter z.

  Attributes:
    start: z of the batch itself.
    image: (z) -> images [B, *S, C].
    cost: Transport cost of a change of z.
  """

  start: Array
  image: Callable[[Array], Array]
  cost: Cost


SPACES = ('pixel', 'field')


def make(batch: Batch, name: str, nodes: int, by_scan: bool = False) -> Space:
  """Builds a space of perturbed images by its name.

  Args:
    batch: [B, *S, C] images, masks and weights, as `method.Batch`.
    name: 'pixel' or 'field'.
    nodes: Nodes of the field along each axis; not used by 'pixel'.
    by_scan: See `inner_maximisation.voxel_shares`.

  Raises:
    ValueError: There is no such space.
  """
  build = choose(
    'space', name, {'pixel': pixel, 'field': functools.partial(field, nodes=nodes)}
  )
  return build(batch, by_scan=by_scan)


def pixel(batch: Batch, by_scan: bool = False) -> Space:
  """Builds the space in which every brain voxel of a batch can change.

  z is the image, and the cost the mean square of its change over the brain voxels.

  Args:
    batch: [B, *S, C] images, masks and weights, as `method.Batch`.
    by_scan: See `inner_maximisation.voxel_shares`.
  """
  shares = voxel_shares(batch['mask'], batch['weight'], by_scan)
  image = jnp.asarray(batch['image'])
  return Space(image, lambda z: z, mean_square(shares, image.shape[-1]))


def field(batch: Batch, nodes: int, by_scan: bool = False) -> Space:
  """Builds the space of smooth multiplicative fields and exponents of the intensities.

  z holds the coefficients of `field_and_gamma` [B, nodes^d + 1]; the cost is that of
  `pixel`, the mean square by which the image changes. Steps are in its metric at z = 0
  (`field_metric`), damped.

  Args:
    batch: [B, *S, C] images, masks and weights, as `method.Batch`.
    nodes: Nodes of the field along each axis.
    by_scan: See `inner_maximisation.voxel_shares`.
  """
  image, _, voxel_cost = pixel(batch, by_scan)
  mask = jnp.asarray(batch['mask'])
  shares = voxel_shares(mask, batch['weight'], by_scan)
  metric = field_metric(image, shares, nodes)

  def change(z):
    return field_and_gamma(image, mask, z, nodes)

  def value(z):
    return voxel_cost.value(change(z) - image)

  def solve(gradient):
    return damped_solve(metric, gradient, DAMPING)

  return Space(jnp.zeros(metric.shape[:2]), change, Cost(value, solve))


def field_and_gamma(
  image: Array, mask: Array, coefficients: Array, nodes: int
) -> Array:
  """Multiplies brain intensities by a smooth field and raises them to a power.

  x' = exp(f) x^exp(a) where x > 0 in the mask. The log field f interpolates its values
  at `nodes` nodes along each axis by cubics; all contrasts share f and a. Coefficients
  u are bounded smoothly: the values and a are L tanh(u / L), L = `LIMIT`.

  Args:
    image: [B, *S, C].
    mask: Brain masks [B, *S, 1].
    coefficients: u of the nodes, then that of a: [B, nodes^d + 1]; 0 is the identity.
    nodes: Nodes along each axis.

  Returns:
    [B, *S, C].
  """
  d = image.ndim - 2
  coefficients = LIMIT * jnp.tanh(coefficients / LIMIT)
  coarse = coefficients[:, :-1].reshape(len(image), *[nodes] * d)
  field = smooth(coarse, image.shape[:-1])[..., None]
  power = jnp.expm1(per_example(coefficients[:, -1], image))
  changing = (image > 0) & (mask > 0)
  log = jnp.log(jnp.where(changing, image, 1.0))
  return jnp.where(changing, image * jnp.exp(field + power * log), image)


def field_metric(image: Array, shares: Array, nodes: int) -> Array:
  """Computes the quadratic form of the mean-square change made by `field_and_gamma`.

  For small coefficients u the image changes by x (f + a log x), so that its mean square
  over the brain is u' M u, with M = sum of a J J' over voxels and channels, where a is
  the voxel's share and J = x (basis functions, log x).

  Args:
    image: [B, *S, C].
    shares: Share of each voxel in the mean [B, *S, 1]; 0 outside of the brain.
    nodes: Nodes along each axis.

  Returns:
    M [B, K, K], K = nodes^d + 1.
  """
  grid, channels = image.shape[1:-1], image.shape[-1]
  count = nodes ** len(grid)
  units = jnp.eye(count).reshape(count, *[nodes] * len(grid))
  basis = smooth(units, (count, *grid)).reshape(count, -1)  # [K - 1, V]
  positive = image > 0
  log = jnp.where(positive, jnp.log(jnp.where(positive, image, 1.0)), 0.0)
  square = jnp.where(positive, image**2, 0.0) * shares / channels
  moments = [
    (square * log**power).sum(-1).reshape(len(image), -1) for power in range(3)
  ]
  fields = jnp.einsum('bv,kv,lv->bkl', moments[0], basis, basis, precision='highest')
  mixed = jnp.einsum('bv,kv->bk', moments[1], basis, precision='highest')[..., None]
  power = example_sum(moments[2])[:, None, None]
  upper = jnp.concatenate([fields, mixed], 2)
  lower = jnp.concatenate([mixed.swapaxes(1, 2), power], 2)
  return jnp.concatenate([upper, lower], 1)
