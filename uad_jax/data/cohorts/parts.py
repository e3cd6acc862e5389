"""Prepared scans kept one by one, so that an interrupted build goes on where it was.

A part is a file named by the hash of all that it depends on: the content of the scan's
files, the steps and the version of the preprocessing.
"""

import hashlib
import json
import os
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uad_jax.data import manifest, record
from uad_jax.data.cohorts import fastmri
from uad_jax.data.cohorts.layout import COMPANIONS, Entry
from uad_jax.data.preprocessing import preprocess
from uad_jax.data.preprocessing.nifti import BadScan

ARRAYS = ('image', 'mask', 'labels', 'lesion', 'twin', 'affine', 'to_scan')


def name_of(entry: Entry, steps, label_map: Mapping[str, Sequence[int]]) -> str:
  """The hash that names a scan's part."""
  sha = hashlib.sha256()
  told = [preprocess.VERSION, steps, dict(label_map), entry.channel]
  told += [entry.lesion_values, entry.boxes]
  sha.update(json.dumps(told, default=list).encode())
  for kind in ('image', *COMPANIONS):
    path = getattr(entry, kind)
    sha.update(f'{kind} {path is not None};'.encode())
    for each in _files(path):
      with open(each, 'rb') as file:
        sha.update(hashlib.file_digest(file, 'sha256').digest())
  return sha.hexdigest()[:32]


def make(
  entry: Entry, steps, label_map: Mapping[str, Sequence[int]], folder: str
) -> str | BadScan:
  """Prepares a scan unless its part is there; the part's path, or what is wrong."""
  try:
    name = name_of(entry, steps, label_map)
  except OSError as problem:
    return BadScan(f'{entry.image} or what belongs to it cannot be read: {problem}')
  path = pathlib.Path(folder) / f'{name}.npz'
  if path.is_file():
    return str(path)
  try:
    prepared = _prepare(entry, steps, label_map)
  except BadScan as problem:
    return problem
  except (ImportError, MemoryError, OSError):
    raise  # of the machine, not of the scan
  except Exception as problem:  # whatever it is, the others are to be built
    return BadScan(
      f'{entry.image} cannot be prepared: {type(problem).__name__}: {problem}'
    )
  _save(path, prepared)
  return str(path)


def read(path: str) -> preprocess.Prepared:
  """The prepared scan of a part."""
  with np.load(path) as stored:
    told = json.loads(str(stored['told']))
    arrays = {name: stored[name] for name in ARRAYS if name in stored}
    native_affine = stored['native_affine']
  if told['own_twin']:
    arrays['twin'] = arrays['image']
  return preprocess.Prepared(
    **{'twin': None} | arrays,
    native_affine=native_affine,
    native_shape=tuple(told['native_shape']),
    slices=tuple(told['slices']),
    chain=told['chain'],
  )


def fingerprints(path: str) -> dict[str, Any]:
  """A part's 'sha256' (`manifest.fingerprint`), and what its slices are as records."""
  with np.load(path) as stored:
    told = json.loads(str(stored['told']))
  return {name: told[name] for name in ('sha256', 'slices', 'records')}


def _files(path: str | None) -> list[str]:
  if path is None:
    return []
  pair = [path[:-4] + '.hdr'] if path.endswith('.img') else []
  return [path, *(p for p in pair if os.path.isfile(p))]


def _prepare(entry: Entry, steps, label_map) -> preprocess.Prepared:
  image, lesion = entry.image, entry.lesion
  if image.endswith(fastmri.SUFFIX):
    image = fastmri.read(image)
    lesion = fastmri.boxed(image, entry.boxes)
  return preprocess.prepare_scan(
    image,
    steps,
    entry.mask,
    entry.labels,
    lesion,
    entry.twin,
    label_map,
    entry.channel,
    entry.lesion_values,
  )


def _save(path: pathlib.Path, prepared: preprocess.Prepared) -> None:
  """Writes beside the path and renames, so that a part is there whole or not at all."""
  own_twin = prepared.twin is prepared.image or (
    prepared.twin is not None and np.array_equal(prepared.twin, prepared.image)
  )
  arrays: dict[str, Any] = {name: getattr(prepared, name) for name in ARRAYS}
  if own_twin or prepared.twin is None:
    del arrays['twin']
  whole = record.arrays(prepared)
  told = {
    'native_shape': prepared.native_shape,
    'slices': prepared.slices,
    'chain': prepared.chain,
    'own_twin': own_twin,
    'sha256': manifest.fingerprint(prepared),
    'records': record.digest(record.cut(whole, k) for k in prepared.slices),
  }
  path.parent.mkdir(parents=True, exist_ok=True)
  handle, temporary = tempfile.mkstemp(dir=path.parent, suffix='.partial')
  try:
    with os.fdopen(handle, 'wb') as file:
      np.savez(
        file,
        native_affine=prepared.native_affine,
        told=np.array(json.dumps(told, default=list)),
        **arrays,
      )
    os.replace(temporary, path)
  except BaseException:
    os.unlink(temporary)
    raise
