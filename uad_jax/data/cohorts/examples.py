"""From a prepared scan to its records, and what its records are, as a number."""

import json
import pathlib
from collections.abc import Iterator

from uad_jax.data import record
from uad_jax.data.cohorts import parts
from uad_jax.data.cohorts.layout import Entry
from uad_jax.data.preprocessing.preprocess import Prepared

MOST_SLICES = 10_000
"""A record's key is the number of its scan times this, plus its place in it."""


def of_part(
  item: tuple[int, Entry, str], domain: str, volumes: bool
) -> Iterator[tuple[int, dict]]:
  """Key and record of a scan, or of each of its slices, from (number, entry, part)."""
  number, entry, path = item
  prepared = parts.read(path)
  whole = _record(entry, prepared, domain)
  for place, index in enumerate((-1,) if volumes else prepared.slices):
    yield number * MOST_SLICES + place, whole if volumes else _slice(whole, index)


def _record(entry: Entry, prepared: Prepared, domain: str) -> dict:
  details = {
    'chain': prepared.chain,
    'shape': prepared.image.shape[:3],
    'native_shape': prepared.native_shape,
    'native_affine': prepared.native_affine.tolist(),
    'to_scan': prepared.to_scan.tolist(),
    'twin': prepared.twin is not None,
    'image': pathlib.Path(entry.image).name,
    **entry.people,
  }
  return record.arrays(prepared) | {
    'subject': entry.subject,
    'session': entry.session,
    'slice': -1,
    'position': 0.5,
    'affine': prepared.affine,
    'domain': entry.domain or domain,
    'pathology': entry.pathology,
    'age': entry.age,
    'details': json.dumps(details),
  }


def _slice(whole: dict, index: int) -> dict:
  """Slice `index` of a volume's record; heights run from 0 to 1 over the volume."""
  height = record.slice_height(index, whole['image'].shape[2])
  return whole | record.cut(whole, index) | {'slice': index, 'position': height}
