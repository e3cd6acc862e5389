"""From the rows of batches back to scans: slices are stacked into volumes."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

ONE_ML = 1000.0  # cubic millimetres


class Scan(NamedTuple):
  """One scan of one subject.

  Attributes:
    name: 'subject', or 'subject/session' where there is a session.
    subject: The subject.
    pathology: 'none' for the healthy.
    domain: Scanner or site.
    age: Years, nan if unknown.
    voxel_ml: The volume that a voxel stands for, ml.
    planar: Whether it is a stack of slices.
    arrays: By name, [X, Y, Z, C].
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
  """A string, whether or not it came as bytes."""
  return value.decode() if isinstance(value, bytes) else str(value)


def rows(batches: Iterable[Mapping[str, np.ndarray]]) -> Iterator[dict]:
  """The records in order, without padding."""
  for batch in batches:
    for index in np.flatnonzero(np.asarray(batch['weight']) > 0):
      yield {name: array[index] for name, array in batch.items()}


def scan_name(row: Mapping) -> str:
  """'subject' or 'subject/session'."""
  session = text(row.get('session', ''))
  return f'{text(row["subject"])}/{session}' if session else text(row['subject'])


def collect(batches: Iterable[Mapping[str, np.ndarray]]) -> Iterator[Scan]:
  """The scans, each as soon as its last record has come.

  Args:
    batches: With 'subject', 'mask' and 'weight'; records in subject order, slices
      ascending; arrays with spatial axes are stacked, the others describe the scan.

  Raises:
    ValueError: The records of a scan do not come together, or its slices not in order.
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
  """The scan made of one volume, or of slices, which become neighbours along z."""
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
  """The lesion inside the brain mask, bool [X, Y, Z]; nothing where none is known."""
  brain = volume['mask'][..., 0] > 0
  if 'lesion' not in volume:
    return np.zeros_like(brain)
  return (volume['lesion'][..., 0] > 0) & brain
