"""Adaptation that fits a classic novelty detector to the features of a method."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from uad_jax.detectors.catalogue import build
from uad_jax.detectors.families.feature_bank import chosen_output, with_detector
from uad_jax.method import Adaptation, Array, Method
from uad_jax.ops.choices import check_choice
from uad_jax.ops.limits import check_whole
from uad_jax.ops.output_names import OUTPUTS


def make(
  detector: str = 'knn',
  options: Mapping[str, Any] | None = None,
  of: str = 'features',
  neighbourhood: int = 1,
  bank: int = 2000,
) -> Adaptation:
  """Builds an adaptation that adds the output 'novelty', the score of a detector.

  Two stages follow the training of the method: one pass over the training scans
  collects feature vectors at brain voxels, one step fits the detector to a uniform
  sample of them (`feature_bank`). A latent vector without a grid gives each voxel of a
  scan the same score.

  Args:
    detector: Name of a detector, see `detectors.catalogue`.
    options: Options of the detector; None for its defaults.
    of: Output of the method whose vectors are judged: 'features', 'latent' or an image.
    neighbourhood: Edge length in places, odd, of the box over which the vectors are
      averaged (3 in PatchCore).
    bank: Number of vectors that the detector is fitted to.

  Raises:
    ValueError: An option is not allowed; or, by the adaptation, if the method does not
      give the output.
  """
  check_choice('of', of, OUTPUTS, 'detector')
  check_whole('detector: bank', bank, 2)
  check_whole('detector: neighbourhood', neighbourhood, 1)
  if neighbourhood % 2 == 0:
    raise ValueError(
      f'detector: neighbourhood is {neighbourhood}; allowed is an odd number'
    )
  chosen = build(detector, options or {}, 'detector')

  def extract(outputs, batch):
    maps, axes = chosen_output(outputs, of, 'detector'), batch['image'].ndim - 2
    if maps.ndim == axes + 2:
      return averaged(maps, neighbourhood)
    return jnp.reshape(maps, (len(maps), *[1] * axes, -1))

  def adapt(method: Method) -> Method:
    return with_detector(method, extract, chosen, bank, 'detector')

  return adapt


def averaged(maps: Array, edge: int) -> Array:
  """Averages feature maps [B, *s, K] over boxes, less at the border of the grid."""
  if edge == 1:
    return maps
  window = (1, *[edge] * (maps.ndim - 2), 1)
  strides = (1,) * maps.ndim
  total, count = (
    jax.lax.reduce_window(x, 0.0, jax.lax.add, window, strides, 'SAME')
    for x in (jnp.asarray(maps), jnp.ones((1, *maps.shape[1:-1], 1)))
  )
  return total / count
