"""What a dataset is made of: a SHA-256 for each volume, so that like meets like."""

import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uad_jax.data import record
from uad_jax.data.preprocessing.preprocess import VERSION, Prepared

NAME = 'manifest.json'


def digest_of(arrays: Mapping[str, np.ndarray | None]) -> str:
  """SHA-256 over arrays by name, with their types and shapes."""
  sha = hashlib.sha256()
  for name, array in arrays.items():
    if array is None:
      sha.update(f'{name} none;'.encode())
      continue
    record.feed(sha, name, array)
  return sha.hexdigest()


def fingerprint(prepared: Prepared) -> str:
  """SHA-256 over all arrays of a prepared scan, and its chosen slices."""
  names = ('image', 'mask', 'labels', 'lesion', 'twin', 'affine', 'to_scan')
  arrays = {name: getattr(prepared, name) for name in names}
  return digest_of(arrays | {'slices': np.asarray(prepared.slices, np.int64)})


DIGESTED = ('subject', 'session', 'split', 'sha256')


def make(
  config: Mapping[str, Any],
  volumes: Sequence[Mapping[str, Any]],
  skipped: Sequence[str] = (),
  absent: Sequence[str] = (),
) -> dict[str, Any]:
  """The manifest of a dataset.

  Args:
    config: What the dataset was asked for.
    volumes: For each volume `DIGESTED` and, where it is known, what its records are:
      their number and the SHA-256 of their arrays.
    skipped: Sentences about the scans that were left out.
    absent: Sentences about subjects who have no scan of this contrast.
  """
  volumes = sorted(
    (dict(v) for v in volumes), key=lambda v: (v['split'], v['subject'], v['session'])
  )
  digested = [{name: v[name] for name in DIGESTED} for v in volumes]
  told = json.dumps([VERSION, digested], sort_keys=True)
  return {
    'preprocessing': VERSION,
    'config': dict(config),
    'digest': hashlib.sha256(told.encode()).hexdigest(),
    'volumes': volumes,
    'skipped': list(skipped),
    'absent': list(absent),
  }


def write(manifest: Mapping[str, Any], directory: str) -> None:
  """Writes it beside the dataset."""
  text = json.dumps(manifest, indent=1)
  (pathlib.Path(directory) / NAME).write_text(text + '\n')


def read(directory: str) -> dict[str, Any]:
  """Reads the manifest of a dataset's folder."""
  path = pathlib.Path(directory) / NAME
  if not path.is_file():
    raise FileNotFoundError(f'{directory} has no {NAME}; allowed is a finished dataset')
  return json.loads(path.read_text())


def same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
  """Whether two datasets hold the same volumes; only then may one table hold both."""
  return a['digest'] == b['digest']
