"""Functions that take unchanged scans from an earlier version of a data set.

The records of the earlier version are turned back into stored preprocessed scans
(see `parts`), so that only new and changed scans are preprocessed again.
"""

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from uad_jax.data import record
from uad_jax.data.cohorts import parts, sources
from uad_jax.data.cohorts.entry import Entry
from uad_jax.data.cohorts.scan_config import ScanConfig
from uad_jax.data.cohorts.versions import Version
from uad_jax.data.preprocessing.preprocess import Prepared


def restore(
  entries: Sequence[Entry],
  scans: Sequence[sources.Scan],
  versions: Sequence[Version],
  settings: ScanConfig,
  folder: str | os.PathLike,
) -> int:
  """Copies preprocessed scans with unchanged files from earlier versions of a data set.

  Args:
    entries: Scans of the data set to be prepared.
    scans: Description of each entry's source files, see `sources`.
    versions: Earlier versions, with the preprocessing of `settings`.
    settings: Config of the data set.
    folder: Folder of the stored scans, see `parts.make`.

  Returns:
    Number of scans that were stored.
  """
  pairs = zip(entries, scans, strict=True)
  wanted = {_key(scan): entry for entry, scan in pairs if not entry.problem}
  count = 0
  for version in versions:
    earlier = {(s['subject'], s['session']): s for s in version.scans or ()}
    kept = [
      (volume, place, wanted.pop(_key(earlier[name])))
      for volume, place, name in _places(version, len(settings.shape()) == 3)
      if name in earlier and _key(earlier[name]) in wanted
    ]
    if not kept:
      continue
    builder = tfds.builder_from_directory(str(version.folder))
    splits = {
      split: builder.as_data_source(split=split) for split in builder.info.splits
    }
    for volume, (start, stop), entry in kept:
      stored = splits.get(volume['split'], ())
      records = [stored[i] for i in range(start, min(stop, len(stored)))]
      if not _is_of(volume, records):
        continue
      name = parts.name_of(entry, settings.steps, settings.label_map)
      path = pathlib.Path(folder) / f'{name}.npz'
      digests = {key: volume[key] for key in ('sha256', 'records')}
      parts.save(path, prepared_of(records, volume['slices']), digests)
      count += 1
  return count


def prepared_of(
  records: Sequence[Mapping[str, Any]], slices: Sequence[int]
) -> Prepared:
  """Rebuilds a preprocessed scan from its records in a prepared data set.

  Args:
    records: Records of the scan: one volume, or its chosen slices in order. Slices
      without a record are set to zero.
    slices: Indices of the chosen slices.
  """
  first = records[0]
  details = json.loads(first['details'])

  def volume(name):
    if int(first['slice']) < 0:
      return np.asarray(first[name])
    shape, channels = details['shape'], first[name].shape[-1]
    array = np.zeros((*shape, channels), first[name].dtype)
    for part in records:
      array[:, :, int(part['slice'])] = part[name]
    return array

  arrays = {name: volume(name) for name in record.ARRAYS}
  if not details['twin']:
    arrays['twin'] = None
  return Prepared(
    **arrays,
    affine=np.asarray(first['affine']),
    to_scan=np.array(details['to_scan']),
    native_shape=tuple(details['native_shape']),
    native_affine=np.array(details['native_affine']),
    slices=tuple(slices),
    chain=details['chain'],
  )


def _key(scan: sources.Scan) -> str:
  """Text that is equal for scans with the same files, read in the same way."""
  files = [[f['kind'], f['sha256']] for f in scan['files']]
  return json.dumps([files, *(scan[name] for name in sources.READING)])


def _places(version: Version, volumes: bool):
  """Yields each volume of the manifest, its first and last record, and its name."""
  ends: dict[str, int] = {}
  order = ('split', 'subject', 'session')
  for volume in sorted(version.volumes, key=lambda v: [v[name] for name in order]):
    start = ends.get(volume['split'], 0)
    stop = start + (1 if volumes else len(volume.get('slices', ())))
    ends[volume['split']] = stop
    yield volume, (start, stop), (volume['subject'], volume['session'])


def _is_of(volume: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> bool:
  """Whether records are those that the manifest tells of a volume."""
  if not records or 'records' not in volume:
    return False
  names = {(r['subject'].decode(), r['session'].decode()) for r in records}
  if names != {(volume['subject'], volume['session'])}:
    return False
  if int(records[0]['slice']) < 0:
    whole = records[0]
    slices = (record.cut(whole, index) for index in volume['slices'])
  else:
    slices = iter(records)
  return record.digest(slices) == volume['records']
