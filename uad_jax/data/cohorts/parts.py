"""Functions that store each preprocessed scan in a file and read it again.

An interrupted build of a data set continues with the stored scans.

The file of one preprocessed scan (.npz) is called a part. It is named by the hash of
all that the preprocessed scan depends on: the content of the original files, and the
steps and the version of the preprocessing.
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
from uad_jax.data.cohorts import fastmri, sources
from uad_jax.data.cohorts.entry import COMPANIONS, Entry
from uad_jax.data.preprocessing import preprocess
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.data.preprocessing.steps import Steps

ARRAYS = ('image', 'mask', 'labels', 'lesion', 'twin', 'affine', 'to_scan')
"""Fields of `preprocess.Prepared` that the file stores under their names."""


def name_of(entry: Entry, steps: Steps, label_map: Mapping[str, Sequence[int]]) -> str:
  """Computes the file name of a stored scan from its source files and preprocessing.

  Args:
    entry: The scan and its files.
    steps: Preprocessing steps, pairs (name, parameters).
    label_map: Mapping from a tissue class to its numbers in the label file.

  Returns:
    Hash of the original files and of the preprocessing, 32 hexadecimal digits.
  """
  sha = hashlib.sha256()
  options = [preprocess.VERSION, steps, dict(label_map), entry.channel]
  options += [entry.lesion_values, entry.boxes]
  sha.update(json.dumps(options, default=list).encode())
  for kind in ('image', *COMPANIONS):
    path = getattr(entry, kind)
    sha.update(f'{kind} {path is not None};'.encode())
    for file_path in sources.files_of(path):
      with open(file_path, 'rb') as file:
        sha.update(hashlib.file_digest(file, 'sha256').digest())
  return sha.hexdigest()[:32]


def make(
  entry: Entry, steps: Steps, label_map: Mapping[str, Sequence[int]], folder: str
) -> str | BadScan:
  """Preprocesses a scan and stores the result as a file, if it is not stored yet.

  A fault of the scan is returned and not raised, so that the other scans are still
  prepared; faults of the machine (ImportError, MemoryError, OSError) are raised.

  Args:
    entry: The scan and its files.
    steps: Preprocessing steps, pairs (name, parameters).
    label_map: Mapping from a tissue class to its numbers in the label file.
    folder: Folder of the stored scans.

  Returns:
    Path of the stored scan, or a `BadScan` that says why the scan cannot be used.
  """
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
    raise  # faults of the machine, not of the scan
  except Exception as problem:  # of any type, so that the other scans are prepared
    return BadScan(
      f'{entry.image} cannot be prepared: {type(problem).__name__}: {problem}'
    )
  save(path, prepared)
  return str(path)


def read(path: str) -> preprocess.Prepared:
  """Reads a preprocessed scan from the .npz file that stores it."""
  with np.load(path) as stored:
    metadata = json.loads(str(stored['told']))
    arrays = {name: stored[name] for name in ARRAYS if name in stored}
    native_affine = stored['native_affine']
  if metadata['own_twin']:
    arrays['twin'] = arrays['image']
  return preprocess.Prepared(
    **{'twin': None} | arrays,
    native_affine=native_affine,
    native_shape=tuple(metadata['native_shape']),
    slices=tuple(metadata['slices']),
    chain=metadata['chain'],
  )


def fingerprints(path: str) -> dict[str, Any]:
  """Reads the hashes that identify a stored preprocessed scan and its records.

  The manifest of the data set lists them.

  Returns:
    'sha256', see `manifest.fingerprint`; 'slices', the indices of the chosen slices;
    'records', the SHA-256 over the records of these slices.
  """
  with np.load(path) as stored:
    metadata = json.loads(str(stored['told']))
  return {name: metadata[name] for name in ('sha256', 'slices', 'records')}


def _prepare(entry: Entry, steps: Steps, label_map) -> preprocess.Prepared:
  """Preprocesses a scan; lesions of fastMRI+ scans come from their boxes."""
  image, lesion = entry.image, entry.lesion
  if image.endswith(fastmri.SUFFIX):
    image = fastmri.read(image)
    lesion = fastmri.box_mask(image, entry.boxes)
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


def save(
  path: pathlib.Path,
  prepared: preprocess.Prepared,
  digests: Mapping[str, str] | None = None,
) -> None:
  """Stores a preprocessed scan in a .npz file, so that no incomplete file can remain.

  Args:
    path: Path of the .npz file.
    prepared: Preprocessed scan.
    digests: Hashes 'sha256' and 'records' of the scan, see `fingerprints`; None
      computes them.
  """
  image_is_twin = prepared.twin is prepared.image or (
    prepared.twin is not None and np.array_equal(prepared.twin, prepared.image)
  )
  arrays: dict[str, Any] = {name: getattr(prepared, name) for name in ARRAYS}
  if image_is_twin or prepared.twin is None:
    del arrays['twin']
  if digests is None:
    whole = record.arrays(prepared)
    digests = {
      'sha256': manifest.fingerprint(prepared),
      'records': record.digest(record.cut(whole, k) for k in prepared.slices),
    }
  metadata = {
    'native_shape': prepared.native_shape,
    'slices': prepared.slices,
    'chain': prepared.chain,
    'own_twin': image_is_twin,
    **digests,
  }
  path.parent.mkdir(parents=True, exist_ok=True)
  handle, temporary = tempfile.mkstemp(dir=path.parent, suffix='.partial')
  try:
    with os.fdopen(handle, 'wb') as file:
      np.savez(
        file,
        native_affine=prepared.native_affine,
        told=np.array(json.dumps(metadata, default=list)),
        **arrays,
      )
    os.replace(temporary, path)
  except BaseException:
    os.unlink(temporary)
    raise
