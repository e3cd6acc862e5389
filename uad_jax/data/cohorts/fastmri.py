"""Functions that read fastMRI brain scans (HDF5) and fastMRI+ bounding boxes."""

import pathlib
import xml.etree.ElementTree as xml
from collections.abc import Sequence

import nibabel as nib
import numpy as np

from uad_jax.data.cohorts import people, scan_files
from uad_jax.data.cohorts.entry import Entry
from uad_jax.data.preprocessing.nifti import BadScan

SUFFIX = '.h5'
"""Suffix of the fastMRI files."""

NORMAL = ('normal', 'normal for age')
"""Labels of a whole study that mean no finding, in lower case."""


def read(path: str) -> nib.Nifti1Image:
  """Reads the brain volume and its voxel size from a fastMRI file.

  The volume is the root-sum-of-squares reconstruction, stored as [slice, row, column].
  Rows run from back to front, columns from right to left; the viewer of the annotations
  shows the slices flipped upside down. The file does not say which end of the slices is
  up: the first slice is taken as the lowest. The voxel size is the field of view of the
  reconstruction divided by the size of its matrix.

  Returns:
    Image [column, row, slice] float32 with the affine from voxel to mm; its origin is
    the first voxel, as the file holds no position of the head.

  Raises:
    ModuleNotFoundError: h5py is not installed.
    BadScan: The file is not HDF5, or lacks the image, the header or the field of view.
  """
  try:
    import h5py
  except ImportError as error:
    raise ModuleNotFoundError(
      f'{path} is HDF5, which needs h5py; install it by `pip install uad_jax[fastmri]`'
    ) from error
  try:
    with h5py.File(path) as file:
      stack = np.asarray(file['reconstruction_rss'], np.float32)
      header = file['ismrmrd_header'][()]
  except (KeyError, OSError) as error:
    raise BadScan(
      f'{path} is no fastMRI file; allowed is HDF5 with reconstruction_rss and '
      'ismrmrd_header'
    ) from error
  x, y, z = _spacing(header, stack.shape, path)
  image = nib.Nifti1Image(np.transpose(stack, (2, 1, 0)), np.diag([-x, y, z, 1.0]))
  image.file_map['image'].filename = path  # named in errors
  return image


def box_mask(image: nib.Nifti1Image, boxes: Sequence[Sequence[int]]) -> nib.Nifti1Image:
  """Returns a lesion mask that is 1 inside the fastMRI+ bounding boxes of an image.

  Args:
    image: Image [X, Y, slice], as `read` returns it.
    boxes: (slice, x, y, width, height) of each box, in voxels. x and y are the upper
      left corner in the slice flipped upside down: its row y is row Y - 1 - y of the
      file.

  Returns:
    Image of uint8 with the affine of `image`: 1 in the boxes, 0 elsewhere.
  """
  mask = np.zeros(image.shape, np.uint8)
  rows = image.shape[1]
  for k, x, y, width, height in boxes:
    mask[x : x + width, max(rows - y - height, 0) : rows - y, k] = 1
  return nib.Nifti1Image(mask, image.affine)


def find(root: pathlib.Path, contrast: str, spelled: str) -> list[Entry]:
  """Finds the fastMRI scans of one contrast that have annotations in brain.csv.

  The table brain.csv of fastMRI+ lists labels and bounding boxes of scans. A scan with
  no other label than those of `NORMAL` is healthy. A scan without any label is left
  out, as no radiologist has read it.

  Args:
    root: Folder with the fastMRI files and brain.csv, at any depth.
    contrast: Name of the contrast, for the error message.
    spelled: The contrast as the file names spell it, such as 'AXT1'.

  Returns:
    Scans in the order of their paths; 'pathology' is 'none' or 'finding'.

  Raises:
    BadScan: No annotated scan has this contrast.
  """
  table = people.load(
    root, '**/brain.csv', "which is fastMRI+'s list of annotations (fastmri-plus)"
  )
  columns = {
    name: people.column(table, name, 'brain.csv')
    for name in ('file', 'slice', 'x', 'y', 'width', 'height', 'label')
  }
  boxes, labels = {}, {}
  for index, file in enumerate(columns['file']):
    row = {name: values.iloc[index] for name, values in columns.items()}
    labels.setdefault(file, set()).add(row['label'].lower())
    numbers = [row[name] for name in ('slice', 'x', 'y', 'width', 'height')]
    if all(people.number(value) is not None for value in numbers):
      boxes.setdefault(file, []).append(tuple(int(float(v)) for v in numbers))
  entries = []
  for path in scan_files.matches(root, f'**/file_brain_{spelled}_*{SUFFIX}'):
    if path.stem not in labels:
      continue
    diagnoses = sorted(labels[path.stem] - set(NORMAL))
    entries.append(
      Entry(
        subject=path.stem.removeprefix('file_brain_'),
        session='',
        image=str(path),
        pathology='none' if not diagnoses else 'finding',
        people={'diagnosis': '; '.join(diagnoses or sorted(labels[path.stem]))},
        boxes=tuple(boxes.get(path.stem, ())),
      )
    )
  if not entries:
    raise BadScan(
      f"{root} has no annotated {contrast} scan 'file_brain_{spelled}_*{SUFFIX}'; "
      'allowed is a folder of fastMRI files and brain.csv'
    )
  return entries


def _spacing(header: bytes | str, shape, path) -> tuple[float, float, float]:
  """Voxel sizes in mm from the ISMRMRD header."""
  try:
    root = xml.fromstring(header)
    field = root.find('.//{*}reconSpace/{*}fieldOfView_mm')
    x, y, z = (float(field.find(f'{{*}}{axis}').text) for axis in 'xyz')
  except (xml.ParseError, AttributeError, TypeError, ValueError) as error:
    raise BadScan(f'{path} has no field of view in its ISMRMRD header') from error
  return x / shape[2], y / shape[1], z
