"""From a scan to the grid that is learned on, and back.

A job is a tuple of steps (name, parameters); the names are those of `steps`.
Arrays are interpolated once, from the scan's own grid.
"""

import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from uad_jax.data.preprocessing import grid, nifti
from uad_jax.data.preprocessing.scan import ScanState
from uad_jax.data.preprocessing.steps import STEPS, Steps, check_steps
from uad_jax.data.preprocessing.tissue_classes import CLASSES

VERSION = '1'
"""Raised when any step gives other numbers than before; manifests carry it."""

DLMUSE = {'ventricle': (4, 11, 49, 50, 51, 52)}
"""Third, fourth, inferior lateral and lateral ventricles in the MUSE numbering."""

USED = ('numpy', 'scipy', 'nibabel', 'scikit-image', 'nilearn')
"""The packages whose versions can move the numbers; the chain names them."""


class Prepared(NamedTuple):
  """A scan on the grid that is learned on (RAS axes), with the way back.

  Attributes:
    image: [X, Y, Z, 1] float32; brain about [0, 1], 0 outside.
    mask: Brain, [X, Y, Z, 1] uint8.
    labels: Index into `tissue_classes.CLASSES`, [X, Y, Z, 1] uint8; zero where unknown.
    lesion: [X, Y, Z, 1] uint8.
    twin: The image without its lesion; None where a lesion's is unknown.
    affine: Voxel to mm: of the scan, or of the template when aligned.
    to_scan: 4x4 from those mm to the mm of the scan; the identity unless aligned.
    native_shape: Of the scan's own grid.
    native_affine: Of the scan's own grid.
    slices: The chosen slices along z; all unless chosen.
    chain: Steps, parameters, findings, versions; can be written as JSON.
  """

  image: np.ndarray
  mask: np.ndarray
  labels: np.ndarray
  lesion: np.ndarray
  twin: np.ndarray | None
  affine: np.ndarray
  to_scan: np.ndarray
  native_shape: tuple[int, int, int]
  native_affine: np.ndarray
  slices: tuple[int, ...]
  chain: list[dict[str, Any]]


def job(
  shape: Sequence[int] = (64, 64),
  spacing: float = 3.0,
  align: bool = True,
  intensity: str = 'peaks',
  fraction: float = 0.25,
) -> Steps:
  """The usual job: slices (two sizes in `shape`) or volumes (three) at `spacing` mm.

  `fraction` is the smallest brain area of a slice, relative to the largest slice's.
  """
  return (
    ('check', {}),
    ('reorient', {}),
    ('brain_mask', {}),
    ('bias', {}),
    *((('align', {}),) if align else ()),
    ('crop', {}),
    ('resample', {'spacing': float(spacing)}),
    ('intensity', {'how': intensity}),
    ('pad_or_crop', {'shape': tuple(shape)}),
    *((('slices', {'fraction': fraction}),) if len(shape) == 2 else ()),
  )


IXI_3MM = job((64, 64), 3.0)


def prepare_scan(
  path,
  steps: Steps,
  mask=None,
  labels=None,
  lesion=None,
  twin=None,
  label_map: Mapping[str, Sequence[int]] = DLMUSE,
  channel: int | None = None,
  lesion_values: Sequence[int] | None = None,
) -> Prepared:
  """Reads a scan and takes it through the steps.

  Args:
    path: NIfTI file or nibabel image; so are mask, labels, lesion, twin, on its grid.
    steps: (name, parameters) in order; the names are those of `steps`.
    mask: Brain.
    labels: Anatomy; its numbers become classes by `label_map`.
    lesion: Lesions; an empty one is allowed.
    twin: The scan without its lesion.
    label_map: Class of `tissue_classes.CLASSES` to numbers of the label file.
    channel: Which volume of a 4-D file is the scan.
    lesion_values: Numbers of the lesion file that are lesion; above half of its maximum
      when None.
  """
  check_steps(steps)
  native = nifti.read_image(path, channel)
  scan = ScanState(
    image=native.data,
    twin=None if twin is None else _read_twin(twin, native),
    mask=None if mask is None else nifti.read_mask(mask, native),
    labels=None if labels is None else nifti.read_labels(labels, native),
    lesion=None
    if lesion is None
    else nifti.read_mask(lesion, native, True, lesion_values),
    affine=native.affine,
    to_scan=np.eye(4),
    aligned=None,
    slices=(),
    found={},
    name=native.name,
  )
  chain = [
    {'preprocessing': VERSION} | {p: importlib.metadata.version(p) for p in USED}
  ]
  for name, parameters in steps:
    scan = STEPS[name](scan._replace(found={}), **parameters)
    chain.append({'step': name, **parameters, **scan.found})

  shape = scan.image.shape
  healthy = scan.lesion is None or not scan.lesion.any()
  twin = scan.image if scan.twin is None and healthy else scan.twin
  mask = np.ones(shape) if scan.mask is None else scan.mask
  lesion = np.zeros(shape) if scan.lesion is None else scan.lesion
  return Prepared(
    image=scan.image[..., None],
    mask=mask[..., None].astype(np.uint8),
    labels=_classes(scan.labels, shape, label_map)[..., None],
    lesion=lesion[..., None].astype(np.uint8),
    twin=None if twin is None else twin[..., None],
    affine=scan.affine,
    to_scan=scan.to_scan,
    native_shape=native.data.shape,
    native_affine=native.affine,
    slices=scan.slices or tuple(range(shape[2])),
    chain=chain,
  )


def restore(
  volume: np.ndarray, prepared: Prepared, order: int = 1, fill: float = 0.0
) -> np.ndarray:
  """Brings a map on the prepared grid, [X, Y, Z, ...], to the scan's own grid and axes.

  Args:
    volume: Soft maps are to be restored first and thresholded afterwards.
    prepared: Where the map belongs.
    order: 1 linear for soft maps, 0 for labels.
    fill: Value outside the prepared field of view.
  """
  to_voxel = np.linalg.inv(prepared.to_scan @ prepared.affine) @ prepared.native_affine
  if order:
    volume = np.asarray(volume, np.float32)
  return grid.sample(volume, to_voxel, prepared.native_shape, order, fill=fill)


def _classes(labels, shape, label_map) -> np.ndarray:
  result = np.zeros(shape, np.uint8)
  for name, numbers in label_map.items():
    if name not in CLASSES:
      raise ValueError(f"label_map has '{name}'; allowed are {', '.join(CLASSES)}")
    if labels is not None:
      result[np.isin(labels, numbers)] = CLASSES.index(name)
  return result


def _read_twin(twin, native: nifti.Volume) -> np.ndarray:
  volume = nifti.read_image(twin)
  nifti.check_grid(volume, native)
  return volume.data
