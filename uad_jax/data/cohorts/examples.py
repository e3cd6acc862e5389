"""Function that yields the records of a preprocessed scan for the TFDS builder."""

import json
import pathlib
from collections.abc import Iterator

from uad_jax.data import record
from uad_jax.data.cohorts import parts
from uad_jax.data.cohorts.entry import Entry
from uad_jax.data.preprocessing.preprocess import Prepared

MOST_SLICES = 10_000
"""Largest number of slices of a scan: key = scan * MOST_SLICES + slice."""


def records_of_part(
  item: tuple[int, Entry, str], domain: str, volumes: bool
) -> Iterator[tuple[int, dict]]:
  """Yields the TFDS records of one preprocessed scan, each with its key.

  Args:
    item: Number of the scan in the data set, its `Entry`, and the path of the file that
      stores the preprocessed scan, see `parts`.
    domain: Name of the scanner, for an entry that has none.
    volumes: Whether to yield the volume as one record, or each chosen slice as one.

  Yields:
    Pairs (key, record); keys increase with the scan number and then the slice.
  """
  number, entry, path = item
  prepared = parts.read(path)
  whole = _record(entry, prepared, domain)
  for place, index in enumerate((-1,) if volumes else prepared.slices):
    yield number * MOST_SLICES + place, whole if volumes else _slice(whole, index)


def _record(entry: Entry, prepared: Prepared, domain: str) -> dict:
  """The record of a whole volume; see `record.features`."""
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
  """The record of slice `index`; slice heights run from 0 to 1 over the volume."""
  height = record.slice_height(index, whole['image'].shape[2])
  return whole | record.cut(whole, index) | {'slice': index, 'position': height}
