"""Classic novelty detectors on the patches around each voxel; no network is trained.

The methods that deep ones are compared with in Ruff et al. 2021 ("A unifying review of
deep and shallow anomaly detection"): `uad_jax.detectors` lists them.
"""

import itertools

import jax.numpy as jnp

from uad_jax.detectors.catalogue import build
from uad_jax.detectors.families.feature_bank import with_detector
from uad_jax.method import Array, Batch, Method
from uad_jax.ops.limits import check_whole
from uad_jax.ops.losses import per_example
from uad_jax.registration.warp import grid


def patches(image: Array, edge: int) -> Array:
  """Collects the neighbourhood of each voxel, [B, *S, edge^d C].

  Args:
    image: [B, *S, C]; it is continued by its border values.
    edge: Edge length of the neighbourhood in voxels, odd.

  Examples:
    >>> patches(jnp.array([1.0, 2.0, 3.0]).reshape(1, 3, 1), 3)[0].tolist()
    [[1.0, 1.0, 2.0], [1.0, 2.0, 3.0], [2.0, 3.0, 3.0]]
  """
  spatial, half = image.shape[1:-1], edge // 2
  widths = ((0, 0), *[(half, half)] * len(spatial), (0, 0))
  padded = jnp.pad(image, widths, 'edge')
  shifted = []
  for offset in itertools.product(range(edge), repeat=len(spatial)):
    window = [slice(o, o + n) for o, n in zip(offset, spatial, strict=True)]
    shifted.append(padded[(slice(None), *window)])
  return jnp.concatenate(shifted, -1)


def coordinates(batch: Batch) -> Array:
  """Returns the coordinates of each voxel in [0, 1] and its slice height.

  Args:
    batch: Batch of images [B, *S, C].

  Returns:
    [B, *S, d + 1].
  """
  count, *spatial, _ = batch['image'].shape
  points = grid(spatial)
  along = points / jnp.maximum(points.max(range(len(spatial)), keepdims=True), 1.0)
  along = jnp.broadcast_to(along[None], (count, *along.shape))
  height = jnp.broadcast_to(per_example(batch['position'], along), along[..., :1].shape)
  return jnp.concatenate([along, height], -1)


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  detector: str = 'knn',
  options: dict | None = None,
  patch: int = 3,
  place: bool = True,
  bank: int = 2000,
) -> Method:
  """Builds a detector on patches: vectors of intensities around a voxel, and its place.

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    detector: Name of a detector, see `detectors.catalogue`.
    options: Options of the detector; None for its defaults.
    patch: Edge length of the patches in voxels, odd; 1 looks at single voxels.
    place: Whether the vectors hold the coordinates of the voxel and the slice height;
      all components are standardised.
    bank: Number of vectors that the detector is fitted to.

  Raises:
    ValueError: A number is outside of its range, or no such detector or option exists.
  """
  where = 'patch_detector'
  check_whole(f'{where}: patch', patch, 1)
  check_whole(f'{where}: bank', bank, 2)
  if patch % 2 == 0:
    raise ValueError(f'{where}: patch is {patch}; allowed is an odd number')
  chosen = build(detector, options or {}, where)
  plain = Method(lambda key, batch: ({}, {}), {}, lambda *_: {})

  def extract(outputs, batch: Batch) -> Array:
    vectors = patches(batch['image'], patch)
    return jnp.concatenate([vectors, coordinates(batch)], -1) if place else vectors

  return with_detector(plain, extract, chosen, bank, where)
