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


@pytest.mark.parametrize('known', [True, False])
def test_a_twin_of_zeros_is_unknown(known):
  records = split(2, ('none',))
  for r in records:
    r['twin'] = np.full_like(r['image'], float(known))
    r['twin_displacement'] = np.ones((*r['image'].shape[:-1], 2), np.float32)
  (scan,) = collect(batches(records))
  assert {'twin', 'twin_displacement'} & set(scan.arrays) == (
    {'twin', 'twin_displacement'} if known else set()
  )
