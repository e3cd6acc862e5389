"""Functions that plan which scans get which lesions, at random and repeatably."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from uad_jax.data.cohorts import scan_files
from uad_jax.data.cohorts.lesion_mechanisms import KINDS
from uad_jax.data.preprocessing.nifti import BadScan

FRACTIONS = (0.005, 0.025)
"""Smallest and largest lesion volume of a subject, relative to the brain volume."""


def divide(masks: str, seed: int) -> tuple[list[str], list[str]]:
  """Divides lesion mask files at random between testing and validation.

  60 % of the files are for testing, 40 % for validation.

  Args:
    masks: Folder of the lesion masks (.nii.gz).
    seed: Seed of the random numbers.

  Returns:
    Paths for testing and paths for validation, each sorted.

  Raises:
    BadScan: The folder holds fewer than two files.
  """
  paths = [p for p in scan_files.scans(masks, '*') if p.name.endswith('.nii.gz')]
  if len(paths) < 2:
    raise BadScan(
      f'{masks} has {len(paths)} lesion masks; allowed are 2 .nii.gz or more'
    )
  order = np.random.default_rng(seed).permutation(len(paths))
  count = max(1, min(len(paths) - 1, round(0.6 * len(paths))))
  chosen = [str(paths[i]) for i in order]
  return sorted(chosen[:count]), sorted(chosen[count:])


def part(entries: Sequence, seed: int, share: float) -> list:
  """Draws a share of the subjects by the hashes of their names, with all their scans.

  Args:
    entries: Scans of healthy subjects.
    seed: Seed of the draw.
    share: Share of the subjects, in (0, 1]; 1 keeps all.
  """
  if share == 1:
    return list(entries)
  order = sorted(
    entries, key=lambda e: hashlib.sha256(f'{seed}/{e.subject}'.encode()).digest()
  )
  chosen = {entry.subject for entry in order[: round(share * len(order))]}
  return [entry for entry in entries if entry.subject in chosen]


def plan(entries: Sequence, seed: int, name: str) -> Iterator[tuple[Any, str, float]]:
  """Yields each scan with a kind of lesion and a lesion load, dealt at random.

  Args:
    entries: Scans that get lesions.
    seed: Seed of the random numbers.
    name: Name of the split, so that splits get other draws.
  """
  random = generator(seed, name)
  count = len(entries)
  kinds = random.permutation([KINDS[i % 3] for i in range(count)])
  loads = np.linspace(*FRACTIONS, count) if count > 1 else np.full(count, 0.008)
  loads = random.permutation(loads)
  yield from zip(entries, map(str, kinds), map(float, loads), strict=True)


def generator(seed: int, *names: str) -> np.random.Generator:
  """Makes a random generator that depends on the seed and the names only."""
  digest = hashlib.sha256('/'.join(names).encode()).digest()
  return np.random.default_rng([seed, int.from_bytes(digest[:8])])
