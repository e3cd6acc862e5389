"""Headers that promise more than their files hold, and memory while reading."""

import gzip
import pathlib
import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from tests.data.preprocessing.nifti_files import (
  compressed,
  image,
  raw_bytes,
  save,
  smooth_volume,
  with_fields,
)
from uad_jax.data.cohorts import flat_names, sources
from uad_jax.data.preprocessing import nifti
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.prediction import file_stamps
from uad_jax.prediction.scan_search import stem_of

RAW = raw_bytes(image(affine=np.diag([2.0, 2, 2, 1])))


def peak_of(function):
  """Largest number of bytes that are allocated while a function runs."""
  tracemalloc.start()
  try:
    function()
    return tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()


def refused(path, data, says):
  path.write_bytes(data)

  def read():
    with pytest.raises(BadScan, match=says) as caught:
      nifti.read_image(path)
    assert str(path) in str(caught.value) and 'allowed' in str(caught.value)

  assert peak_of(read) < 3e6


@pytest.mark.parametrize('name', ['scan.nii', 'scan.nii.gz'])
@pytest.mark.parametrize(
  'dim, says',
  [
    ((3, 32767, 32767, 32767, 1, 1, 1, 1), '32767 x 32767 x 32767 voxels'),
    ((3, 800, 800, 800, 1, 1, 1, 1), 'its header promises 1,024,000,352; .*complete'),
    ((3, 300, 7, 8, 1, 1, 1, 1), 'ends before its last voxel'),
    ((4, 6, 7, 8, 32767, 1, 1, 1), 'ends before its last voxel'),
    ((3, 0, 7, 8, 1, 1, 1, 1), 'shape .0, 7, 8.'),
    ((3, -6, 7, 8, 1, 1, 1, 1), 'shape .-6, 7, 8.'),
    ((0, 6, 7, 8, 1, 1, 1, 1), 'shape'),
    ((9, 6, 7, 8, 1, 1, 1, 1), 'voxels|shape'),
    ((32767, 6, 7, 8, 1, 1, 1, 1), 'a header with .* axes'),
  ],
)
def test_a_header_that_promises_more_is_refused_unread(tmp_path, name, dim, says):
  data = with_fields(RAW, dim=dim)
  if name == 'scan.nii.gz':
    data = compressed(data)
    if '1,024' in says:
      says = 'expands|promises'
  refused(tmp_path / name, data, says)


@pytest.mark.parametrize(
  'fields, says',
  [
    ({'vox_offset': 1e9}, 'promises 1,000,000,672'),
    ({'vox_offset': -1e9}, 'voxels from byte -1000000000 on'),
    ({'vox_offset': 0}, 'begin at byte 0, within the header'),
    ({'vox_offset': 64}, 'begin at byte 64, within the header'),
    ({'vox_offset': np.nan}, 'cannot be read as NIfTI'),
    ({'datatype': 77}, 'cannot be read as NIfTI'),
    ({'scl_slope': 2.0, 'scl_inter': np.inf}, 'cannot be read as NIfTI'),
    ({'scl_slope': 1.0, 'scl_inter': np.nan}, 'Valid slope but invalid intercept nan'),
    ({'qform_code': 1, 'sform_code': 0, 'quatern_b': 3.0}, 'ValueError: w2 should be'),
  ],
)
def test_other_broken_fields_are_refused(tmp_path, fields, says):
  refused(tmp_path / 'scan.nii', with_fields(RAW, **fields), says)


def test_a_compressed_file_may_expand_only_so_far(tmp_path):
  # 1.2 GB promised by less than a kilobyte: refused without expanding it.
  data = compressed(with_fields(RAW, dim=(3, 850, 850, 850, 1, 1, 1, 1)))
  says = 'expands to 1,228,250,352; allowed are up to 1,073,741,824, or 100 times'
  refused(tmp_path / 'scan.nii.gz', data, says)


def test_a_mask_that_compresses_well_is_read(tmp_path):
  zeros = nib.Nifti1Image(np.zeros((90, 90, 90), np.float32), np.diag([2.0, 2, 2, 1]))
  path = save(zeros, tmp_path / 'lesion.nii.gz')
  assert path.stat().st_size * 100 < zeros.dataobj.nbytes
  mask = nifti.read_mask(path, nifti.read(zeros), may_be_empty=True)
  assert not mask.any()


@pytest.mark.parametrize('size', [0, 8, 24, 2**31 - 16])
def test_an_extension_of_a_false_size_is_refused(tmp_path, size):
  made = image(affine=np.diag([2.0, 2, 2, 1]))
  made.header.extensions.append(nib.nifti1.Nifti1Extension('comment', b'12345678'))
  data = bytearray(raw_bytes(made))
  data[352:356] = size.to_bytes(4, 'little')
  refused(tmp_path / 'scan.nii', data, f'extension of its header with {size} bytes')
  whole = save(made, tmp_path / 'whole.nii')
  np.testing.assert_array_equal(nifti.read_image(whole).data, smooth_volume())


def test_a_pair_without_its_header_is_told_what_is_missing(tmp_path):
  says = 'cannot be read as NIfTI .FileNotFoundError: .*scan.hdr'
  refused(tmp_path / 'scan.img', RAW, says)


@pytest.mark.parametrize('name', ['SCAN.NII', 'SCAN.NII.GZ', 'SCAN.IMG'])
def test_suffixes_may_be_in_upper_case(tmp_path, name):
  made, path = image(affine=np.diag([2.0, 2, 2, 1])), tmp_path / name
  kind = nib.Nifti1Pair if name == 'SCAN.IMG' else nib.Nifti1Image
  made = kind(made.dataobj, made.affine, made.header)
  save(made, path)
  np.testing.assert_array_equal(nifti.read_image(path).data, smooth_volume())
  names = [pathlib.Path(p).name for p in sources.files_of(str(path))]
  pair = name == 'SCAN.IMG'
  assert names == ([name, 'SCAN.HDR'] if pair else [name])
  assert ('header' in file_stamps.stamp(path)) == pair
  assert stem_of(name) == flat_names.stem(name) == name.split('.')[0]
  path.write_bytes(path.read_bytes()[:300])
  with pytest.raises(BadScan, match='complete'):
    nifti.read_image(path)


@pytest.mark.parametrize('name', ['scan.nii', 'scan.nii.gz'])
def test_reading_takes_less_than_ten_times_the_file(tmp_path, name):
  random = np.random.default_rng(0).integers(0, 255, (64, 64, 64), np.uint8)
  made = nib.Nifti1Image(random, np.diag([2.0, 2, 2, 1]))
  made.header.set_slope_inter(0.7, 3)
  path = save(made, tmp_path / name)
  oracle = np.asarray(nib.load(path).dataobj, np.float32)
  np.testing.assert_array_equal(nifti.read_image(path).data, oracle)
  assert peak_of(lambda: nifti.read_image(path)) < 10 * path.stat().st_size


def test_a_file_cut_in_its_last_block_is_refused(tmp_path):
  data = compressed(RAW)
  refused(
    tmp_path / 'scan.nii.gz', data[:-12], 'ends before its last voxel|is truncated'
  )
  refused(tmp_path / 'scan.nii.gz', gzip.compress(RAW[:-1]), 'ends before its last')
