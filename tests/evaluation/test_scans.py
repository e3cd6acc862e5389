import numpy as np
import pytest

from tests.cohort import SLICES, batches, split
from uad_jax.evaluation.scans import collect


def test_records_out_of_order_are_an_error():
  records = split(2, ('none', 'none'))
  mixed = records[:2] + records[4:] + records[2:4]
  with pytest.raises(ValueError, match="scan 'sub-20' do not come one after another"):
    list(collect(batches(mixed)))
  with pytest.raises(ValueError, match="slices of scan 'sub-20' do not ascend"):
    list(collect(batches(records[:4][::-1])))


def test_a_scan_without_brain_is_an_error():
  records = split(2, ('none',))
  for r in records:
    r['mask'] = np.zeros_like(r['mask'])
  with pytest.raises(ValueError, match="scan 'sub-20' has an empty brain mask"):
    list(collect(batches(records)))


def test_sessions_are_scans_of_their_own():
  records = split(2, ('none', 'none'))
  for index, r in enumerate(records):
    r['subject'], r['session'] = 'sub-1', f'ses-{index // SLICES}'
  assert [s.name for s in collect(batches(records))] == ['sub-1/ses-0', 'sub-1/ses-1']
