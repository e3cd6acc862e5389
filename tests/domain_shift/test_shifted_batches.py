"""Oracle: the shift applied to each scan as a whole volume."""

import zlib

import numpy as np
import pytest

from tests.domain_shift.phantom import brain
from uad_jax.domain_shift.shifted_batches import shifted_batches
from uad_jax.domain_shift.shifts import SHIFTS
from uad_jax.evaluation.scans import collect

SHAPE = (12, 14, 9)
SCANS = {'sub-a': brain(0, SHAPE), 'sub-b': brain(1, SHAPE)}


def batches(size, planar=True):
  """Slices (or volumes) of two scans in batches; the last is padded."""
  records = []
  for subject, arrays in SCANS.items():
    chosen = range(2, 9) if planar else [None]
    for z in chosen:
      content = {k: v[:, :, z] if planar else v for k, v in arrays.items()}
      facts = {'subject': subject, 'position': (z or 0) / 9, 'slice': z or 0}
      records.append({**content, **facts, 'weight': 1.0})
  for start in range(0, len(records), size):
    part = records[start : start + size]
    batch = {
      k: np.stack([r[k] for r in part + part[-1:] * (size - len(part))])
      for k in part[0]
    }
    batch['weight'][len(part) :] = 0
    yield batch


@pytest.mark.parametrize('size', [1, 4, 20])
@pytest.mark.parametrize('name', ['thick_slices', 'noise', 'flipped_z'])
def test_slices_are_shifted_as_the_scan_is(size, name):
  shift = SHIFTS[name]()
  made = list(shifted_batches(batches(size), shift, seed=3))
  assert all(len(batch['weight']) == size for batch in made)
  assert sum(batch['weight'].sum() for batch in made) == 14
  for scan, (subject, arrays) in zip(collect(made), SCANS.items(), strict=True):
    assert scan.subject == subject
    rng = np.random.default_rng((3, zlib.crc32(subject.encode())))
    stack = {key: value[:, :, 2:9] for key, value in arrays.items()}
    oracle = shift(stack, rng)
    np.testing.assert_array_equal(scan.arrays['image'], oracle['image'])
    np.testing.assert_array_equal(scan.arrays['mask'], oracle['mask'])


def test_volumes_are_shifted_and_facts_stay():
  shift = SHIFTS['low_resolution']()
  made = list(shifted_batches(batches(1, planar=False), shift))
  assert [str(batch['subject'][0]) for batch in made] == list(SCANS)
  for batch, (subject, arrays) in zip(made, SCANS.items(), strict=True):
    rng = np.random.default_rng((0, zlib.crc32(subject.encode())))
    np.testing.assert_array_equal(batch['image'][0], shift(arrays, rng)['image'])
