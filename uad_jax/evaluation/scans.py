"""Functions that assemble whole scans from batches of slices or volumes."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

ONE_ML = 1000.0  # cubic millimetres


class Scan(NamedTuple):
  """Whole scan of a subject: arrays such as image and masks, and facts such as the age.

  Attributes:
    name: 'subject', or 'subject/session' if there is a session.
    subject: Name of the subject.
    pathology: Name of the pathology, 'none' for healthy.
    domain: Scanner or site.
    age: Years, nan if unknown.
    voxel_ml: Volume that a voxel stands for, ml; includes the distance of slices.
    planar: Whether the scan is a stack of slices.
    arrays: Arrays [X, Y, Z, C] by name.
  """

  name: str
  subject: str
  pathology: str
  domain: str
  age: float
  voxel_ml: float
  planar: bool
  arrays: dict[str, np.ndarray]


def text(value) -> str:
  """Converts a value to a string; bytes are decoded."""
  return value.decode() if isinstance(value, bytes) else str(value)


def rows(batches: Iterable[Mapping[str, np.ndarray]]) -> Iterator[dict]:
  """Yields each slice or volume of the batches, leaving out the padding examples.

  Args:
    batches: Batches of arrays by name, with 'weight' 0 for padding.
  """
  for batch in batches:
    for index in np.flatnonzero(np.asarray(batch['weight']) > 0):
      yield {name: array[index] for name, array in batch.items()}


def scan_name(row: Mapping) -> str:
  """Returns the name of the scan to which a slice or volume belongs.

  Returns:
    'subject', or 'subject/session' if there is a session.
  """
  session = text(row.get('session', ''))
  return f'{text(row["subject"])}/{session}' if session else text(row['subject'])


def collect(batches: Iterable[Mapping[str, np.ndarray]]) -> Iterator[Scan]:
  """Assembles scans from batches of slices or volumes and yields them one by one.

  A scan is yielded as soon as its last slice or volume has been read.

  Args:
    batches: Batches with 'subject', 'mask' and 'weight'; the slices of a scan come
      together and ascend. Arrays with spatial axes are stacked, the other entries
      describe the scan.

  Raises:
    ValueError: The slices of a scan do not come together or do not ascend, or its brain
      mask is empty.
  """
  pending, seen = [], set()
  for row in rows(batches):
    name = scan_name(row)
    if pending and scan_name(pending[0]) != name:
      yield assemble(pending)
      pending = []
    if not pending and name in seen:
      raise ValueError(f"the records of scan '{name}' do not come one after another")
    seen.add(name)
    pending.append(row)
  if pending:
    yield assemble(pending)


def assemble(records: list[dict]) -> Scan:
  """Builds one scan from its single volume, or by stacking its slices along z.

  A lesion-free twin that is all zeros is unknown: it is left out, with what was
  inferred from it.

  Args:
    records: Volume or slices of the scan, each as arrays by name.

  Raises:
    ValueError: There are several volumes, the slices do not ascend, or the brain mask
      is empty.
  """
  first, name = records[0], scan_name(records[0])
  planar = first['mask'].ndim == 3
  slices = [int(row.get('slice', index)) for index, row in enumerate(records)]
  if not planar and len(records) > 1:
    raise ValueError(f"scan '{name}' has {len(records)} volumes; one was expected")
  if np.any(np.diff(slices) <= 0):
    raise ValueError(f"the slices of scan '{name}' do not ascend: {slices}")
  grid = first['mask'].shape[:-1]
  arrays = {
    key: np.stack([row[key] for row in records], 2) if planar else value
    for key, value in first.items()
    if np.shape(value)[: len(grid)] == grid
  }
  if not (arrays['mask'] > 0).any():
    raise ValueError(f"scan '{name}' has an empty brain mask")
  if 'twin' in arrays and not arrays['twin'].any():  # unknown, see `data.record`
    arrays = {key: value for key, value in arrays.items() if 'twin' not in key}
  step = float(np.median(np.diff(slices))) if len(slices) > 1 else 1.0
  affine = first.get('affine', np.eye(4))
  pathologies = {text(row.get('pathology', 'none')) for row in records} - {'none'}
  return Scan(
    name,
    text(first['subject']),
    '+'.join(sorted(pathologies)) or 'none',
    text(first.get('domain', '')),
    float(first.get('age', np.nan)),
    abs(float(np.linalg.det(affine[:3, :3]))) * step / ONE_ML,
    planar,
    arrays,
  )


def lesion_in(volume: Mapping[str, np.ndarray]) -> np.ndarray:
  """Returns the mask of the lesion voxels that lie inside the brain.

  It is bool [X, Y, Z], and all False if the scan has no lesion mask.

  Args:
    volume: Arrays [X, Y, Z, C] of the scan: 'mask' and, if known, 'lesion'.
  """
  brain = volume['mask'][..., 0] > 0
  if 'lesion' not in volume:
    return np.zeros_like(brain)
  return (volume['lesion'][..., 0] > 0) & brain
