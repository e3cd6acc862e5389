"""Functions that build, write, read and compare the manifests of prepared datasets.

A manifest holds the config of a dataset and a SHA-256 for each of its volumes. Two
datasets whose manifests have the same 'digest' hold the same volumes, so that numbers
measured on them can be compared.
"""

import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uad_jax.data import record
from uad_jax.data.preprocessing.preprocess import VERSION, Prepared

NAME = 'manifest.json'
"""File name of the manifest, in the folder of its dataset."""


def digest_of(arrays: Mapping[str, np.ndarray | None]) -> str:
  """Computes one SHA-256 over the names, dtypes, shapes and values of several arrays.

  Args:
    arrays: Arrays by name; None stands for an array that is unknown.

  Returns:
    64 hexadecimal digits.
  """
  sha = hashlib.sha256()
  for name, array in arrays.items():
    if array is None:
      sha.update(f'{name} none;'.encode())
      continue
    record.feed(sha, name, array)
  return sha.hexdigest()


def fingerprint(prepared: Prepared) -> str:
  """Computes the hash that identifies the content of a prepared scan.

  It is a SHA-256 (64 hexadecimal digits) over the arrays of the scan and the indices
  of its chosen slices.
  """
  names = ('image', 'mask', 'labels', 'lesion', 'twin', 'affine', 'to_scan')
  arrays = {name: getattr(prepared, name) for name in names}
  return digest_of(arrays | {'slices': np.asarray(prepared.slices, np.int64)})


def hashes(volume: Mapping[str, Any]) -> tuple[str, ...]:
  """Returns the hashes that tell whether two data sets hold the same scan.

  Args:
    volume: Entry of a manifest.
  """
  return tuple(volume[name] for name in ('sha256', 'records') if volume.get(name))


DIGESTED = ('subject', 'session', 'split', 'sha256')
"""Keys of a volume's entry that the digest of its dataset covers."""


def make(
  config: Mapping[str, Any],
  volumes: Sequence[Mapping[str, Any]],
  skipped: Sequence[str] = (),
  absent: Sequence[str] = (),
) -> dict[str, Any]:
  """Builds the manifest of a dataset: a dict that can be written as JSON.

  Its 'digest' is a SHA-256 over the version of the preprocessing and, for each volume,
  the values of the keys `DIGESTED`; neither the config nor the order of the volumes
  changes it.

  Args:
    config: The options that the dataset was built with.
    volumes: One entry per volume with the keys of `DIGESTED`. Other keys are stored and
      not digested, such as the number of its records and the SHA-256 of their arrays.
    skipped: Sentences about the scans that were left out.
    absent: Sentences about subjects who have no scan of this contrast.
  """
  volumes = sorted(
    (dict(v) for v in volumes), key=lambda v: (v['split'], v['subject'], v['session'])
  )
  digested = [{name: v[name] for name in DIGESTED} for v in volumes]
  text = json.dumps([VERSION, digested], sort_keys=True)
  return {
    'preprocessing': VERSION,
    'config': dict(config),
    'digest': hashlib.sha256(text.encode()).hexdigest(),
    'volumes': volumes,
    'skipped': list(skipped),
    'absent': list(absent),
  }


def write(manifest: Mapping[str, Any], directory: str) -> None:
  """Writes a manifest as `manifest.json` into the folder of its dataset."""
  text = json.dumps(manifest, indent=1)
  (pathlib.Path(directory) / NAME).write_text(text + '\n')


def read(directory: str) -> dict[str, Any]:
  """Reads the manifest from the folder of a dataset.

  Raises:
    FileNotFoundError: The folder has no `manifest.json`: it holds no finished dataset.
  """
  path = pathlib.Path(directory) / NAME
  if not path.is_file():
    raise FileNotFoundError(f'{directory} has no {NAME}; allowed is a finished dataset')
  return json.loads(path.read_text())


def same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
  """Returns whether two manifests have the same digest.

  Their datasets then hold the same volumes. Only then may results on the two datasets
  be put into one table.
  """
  return a['digest'] == b['digest']
