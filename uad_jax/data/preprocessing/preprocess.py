"""Functions that preprocess a scan, and resample results back to its native grid.

The preprocessing is a sequence of steps. A step is a pair (name, parameters), the name
a key of `steps.STEPS`. Arrays are interpolated only once, by the step 'resample', from
the scan's native grid.
"""

import functools
import importlib.metadata
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import nibabel
import numpy as np

from uad_jax.data.preprocessing import (
  background,
  grid,
  nifti,
  nifti_header,
  picture,
  step_sequence,
)
from uad_jax.data.preprocessing.scan import ScanState
from uad_jax.data.preprocessing.steps import Steps, check_steps
from uad_jax.data.preprocessing.tissue_classes import class_indices

VERSION = '1'
"""Version of the preprocessing, increased when any step's results change.

It is written into manifests and covered by their digests.
"""

DLMUSE = {'ventricle': (4, 11, 49, 50, 51, 52)}
"""Label map of DLMUSE: third, fourth, inferior lateral and lateral ventricles."""

USED = ('numpy', 'scipy', 'nibabel', 'scikit-image', 'nilearn')
"""Packages whose versions can change the results; the chain records the versions."""


class Prepared(NamedTuple):
  """Preprocessed scan with its masks, and affines to map results back to the scan.

  The axes are RAS after the step 'reorient'.

  Attributes:
    image: Intensities, [X, Y, Z, 1] float32; about [0, 1] in the brain, 0 outside.
    mask: Brain mask, [X, Y, Z, 1] uint8.
    labels: Index into `tissue_classes.CLASSES`, [X, Y, Z, 1] uint8; zero where unknown.
    lesion: Lesion mask, [X, Y, Z, 1] uint8.
    twin: Lesion-free twin of the image, [X, Y, Z, 1] float32; the image itself without
      a lesion; None if unknown.
    affine: 4x4 from voxel to mm of the scan, or of the template if aligned.
    to_scan: 4x4 from the mm of `affine` to mm of the scan; identity if not aligned.
    native_shape: Shape of the scan's native grid, before preprocessing.
    native_affine: 4x4 of the native grid, from voxel to mm.
    slices: Indices of the chosen slices along z; all slices if none were chosen.
    chain: Record of the preprocessing: package versions, then for each step its name,
      parameters and measured values; can be written as JSON.
    header: Header of the scan, for `nifti_header.image_like`; None for another
      format, and for a scan that was stored and read again.
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
  header: nibabel.analyze.AnalyzeHeader | None = None


def job(
  shape: Sequence[int] = (64, 64),
  spacing: float = 3.0,
  align: bool = True,
  intensity: str = 'peaks',
  fraction: float = 0.25,
) -> Steps:
  """Returns preprocessing steps that turn T1 scans into normalised slices or volumes.

  Args:
    shape: Two sizes for slices, three for volumes, in voxels.
    spacing: Voxel size in mm.
    align: Whether to align to the MNI152 template.
    intensity: Name of a normalisation in `intensity.NORMALISATIONS`.
    fraction: Smallest brain area of a chosen slice, relative to the largest area.

  Returns:
    Pairs (name, parameters), as `prepare_scan` takes them.
  """
  return (
    ('check', {}),
    ('reorient', {}),
    ('brain_mask', {'trim': True}),
    ('bias', {}),
    *((('align', {}),) if align else ()),
    ('crop', {}),
    ('resample', {'spacing': float(spacing)}),
    ('intensity', {'how': intensity}),
    ('pad_or_crop', {'shape': tuple(shape)}),
    *((('slices', {'fraction': fraction}),) if len(shape) == 2 else ()),
  )


def picture_job(
  shape: Sequence[int] = (128, 128),
  spacing: float = 1.5,
  intensity: str = 'robust',
  channel: int | None = None,
  pixel_mm: float | Sequence[float] | None = None,
) -> Steps:
  """Returns preprocessing steps that turn 2-D images (pictures) into slices.

  Args:
    shape: Sizes along x and y, in pixels.
    spacing: Pixel size in mm; 0 scales each whole picture to the shape.
    intensity: Name of a normalisation in `intensity.NORMALISATIONS`.
    channel: Index of the colour channel to read; None or -1 for grey pictures.
    pixel_mm: Pixel size of the files in mm, one number or (x, y); None or 0 reads it
      from the files, see `picture.read`.

  Returns:
    Pairs (name, parameters), as `prepare_scan` takes them.
  """
  size = np.broadcast_to(pixel_mm, (2,)).tolist() if pixel_mm else None
  channel = None if channel is None or channel < 0 else channel
  return (
    ('check', {}),
    ('picture', {'channel': channel, 'pixel_mm': size}),
    ('foreground', {}),
    ('resample', {'spacing': (float(spacing), float(spacing), 1.0)})
    if spacing
    else ('fit', {'shape': tuple(shape)}),
    ('intensity', {'how': intensity}),
    ('pad_or_crop', {'shape': tuple(shape)}),
  )


IXI_3MM = job((64, 64), 3.0)
"""Steps for IXI: aligned T1 slices of 64 x 64 at 3 mm."""


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
  """Reads a scan with its masks and labels, and applies preprocessing steps in order.

  Args:
    path: NIfTI file or nibabel image of the scan. `mask`, `labels`, `lesion` and `twin`
      are files or images too, on the grid of the scan, or None.
    steps: Pairs (name, parameters); the names are the keys of `steps.STEPS`.
    mask: Brain mask.
    labels: Anatomical labels; `label_map` turns their numbers into classes.
    lesion: Lesion mask; may be empty.
    twin: Lesion-free twin of the scan.
    label_map: Maps each class of `tissue_classes.CLASSES` to numbers of `labels`.
    channel: Index of the volume to read as the scan, if the file is 4-D.
    lesion_values: Numbers of the lesion file that mean lesion; None takes the voxels
      above half of its maximum, and refuses a file of several labels.

  Raises:
    BadScan: A file cannot be used, or the image is not finite or constant in the brain
      after the steps.
    ValueError: A step is unknown or cannot be applied.
  """
  check_steps(steps)
  if (options := dict(steps).get('picture')) is not None:
    path, mask, labels, lesion, twin = picture.opened(
      path, mask, labels, lesion, twin, options.get('channel')
    )
  native = nifti.read_image(path, channel)
  if doubt := nifti_header.doubt(native.header, native.data.shape, native.name):
    warnings.warn(doubt, stacklevel=2)
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
    measured={},
    name=native.name,
  )
  chain = [{'preprocessing': VERSION} | _versions()]
  if not isinstance(path, nifti.Picture):
    scan, shift = background.to_zero(scan)
    chain[0] |= shift
  scan, entries = step_sequence.apply(scan, steps)
  chain += entries
  shape = scan.image.shape
  healthy = scan.lesion is None or not scan.lesion.any()
  twin = scan.image if scan.twin is None and healthy else scan.twin
  mask = np.ones(shape) if scan.mask is None else scan.mask
  lesion = np.zeros(shape) if scan.lesion is None else scan.lesion
  return Prepared(
    image=scan.image[..., None],
    mask=mask[..., None].astype(np.uint8),
    labels=class_indices(scan.labels, shape, label_map)[..., None],
    lesion=lesion[..., None].astype(np.uint8),
    twin=None if twin is None else twin[..., None],
    affine=scan.affine,
    to_scan=scan.to_scan,
    native_shape=native.data.shape,
    native_affine=native.affine,
    slices=scan.slices or tuple(range(shape[2])),
    chain=chain,
    header=native.header,
  )


def restore(
  volume: np.ndarray, prepared: Prepared, order: int = 1, fill: float = 0.0
) -> np.ndarray:
  """Resamples a volume from the preprocessed grid to the scan's native grid and axes.

  Args:
    volume: [X, Y, Z, ...] on the grid of `prepared`, such as an anomaly map. Threshold
      an anomaly map after this, not before.
    prepared: The preprocessed scan.
    order: Order of the interpolation: 1 linear, or 0 nearest for labels.
    fill: Value outside the preprocessed field of view.

  Returns:
    [*native_shape, ...].
  """
  to_voxel = np.linalg.inv(prepared.to_scan @ prepared.affine) @ prepared.native_affine
  if order:
    volume = np.asarray(volume, np.float32)
  return grid.sample(volume, to_voxel, prepared.native_shape, order, fill=fill)


@functools.cache
def _versions() -> dict[str, str]:
  return {name: importlib.metadata.version(name) for name in USED}


def _read_twin(twin, native: nifti.Volume) -> np.ndarray:
  volume = nifti.read_image(twin)
  nifti.check_grid(volume, native)
  return volume.data
