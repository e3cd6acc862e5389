"""fastMRI brain scans (HDF5) as images, and the boxes of fastMRI+ as masks."""

import pathlib
import xml.etree.ElementTree as xml
from collections.abc import Sequence

import nibabel as nib
import numpy as np

from uad_jax.data.cohorts import people
from uad_jax.data.cohorts.layout import Entry
from uad_jax.data.preprocessing.nifti import BadScan

SUFFIX = '.h5'
NORMAL = ('normal', 'normal for age')
"""Labels of whole studies without a finding, in lower case."""


def read(path: str) -> nib.Nifti1Image:
  """The root-sum-of-squares image of a file, as an image with mm.

  The file holds slices [slice, row, column]. Rows run to the front and columns to the
  left, as the annotations' viewer shows them after a turn upside down; which end of the
  slices is up the file does not say, and the first is taken as the lowest. Voxel sizes
  are the reconstruction's field of view over its matrix.
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
  image.file_map['image'].filename = path  # which errors name
  return image


def boxed(image: nib.Nifti1Image, boxes: Sequence[Sequence[int]]) -> nib.Nifti1Image:
  """The boxes (slice, x, y, width, height) as a mask on the image's grid.

  x and y are those of the upper left corner in the picture that is turned upside down:
  its row y is row H - 1 - y of the file.
  """
  mask = np.zeros(image.shape, np.uint8)
  rows = image.shape[1]
  for k, x, y, width, height in boxes:
    mask[x : x + width, max(rows - y - height, 0) : rows - y, k] = 1
  return nib.Nifti1Image(mask, image.affine)


def find(root: pathlib.Path, contrast: str, spelled: str) -> list[Entry]:
  """The annotated scans of a contrast below a folder, with the boxes of brain.csv.

  A study whose only label is a normal one is healthy; one without any annotation is
  not used, for nobody looked at it.
  """
  table = people.load(
    root, '**/brain.csv', "which is fastMRI+'s list of annotations (fastmri-plus)"
  )
  columns = {
    name: people.column(table, name, 'brain.csv')
    for name in ('file', 'slice', 'x', 'y', 'width', 'height', 'label')
  }
  boxes, labels = {}, {}
  for at, file in enumerate(columns['file']):
    row = {name: values.iloc[at] for name, values in columns.items()}
    labels.setdefault(file, set()).add(row['label'].lower())
    numbers = [row[name] for name in ('slice', 'x', 'y', 'width', 'height')]
    if all(people.number(value) is not None for value in numbers):
      boxes.setdefault(file, []).append(tuple(int(float(v)) for v in numbers))
  entries = []
  for path in sorted(root.glob(f'**/file_brain_{spelled}_*{SUFFIX}')):
    if path.stem not in labels:
      continue
    ill = sorted(labels[path.stem] - set(NORMAL))
    entries.append(
      Entry(
        subject=path.stem.removeprefix('file_brain_'),
        session='',
        image=str(path),
        pathology='none' if not ill else 'finding',
        people={'diagnosis': '; '.join(ill or sorted(labels[path.stem]))},
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
