import pathlib

import nibabel as nib
import numpy as np
import pytest

from tests.data.heads import write
from uad_jax.data.preprocessing import nifti
from uad_jax.data.preprocessing.nifti import BadScan

RANDOM = np.random.default_rng(0)
DATA = RANDOM.random((6, 7, 8)).astype(np.float32)


def damaged(tmp_path, name):
  path = tmp_path / f'{name}.nii.gz'
  whole = write(tmp_path / 'whole.nii.gz', DATA, np.eye(4))
  raw = pathlib.Path(whole).read_bytes()
  rgb = np.zeros((4, 4, 4), [('R', 'u1'), ('G', 'u1'), ('B', 'u1')])
  singular = np.diag([1.0, 1, 0, 1])
  if name == 'truncated':
    path.write_bytes(raw[: len(raw) // 2])
  elif name == 'truncated_in_header':
    path.write_bytes(raw[:60])
  elif name == 'empty':
    path.write_bytes(b'')
  elif name == 'text':
    path.write_bytes(b'this is not a scan')
  elif name == 'four':
    write(path, np.zeros((4, 4, 4, 3), np.float32), np.eye(4))
  elif name == 'rgb':
    nib.save(nib.Nifti1Image(rgb, np.eye(4)), path)
  elif name == 'complex':
    write(path, DATA.astype(np.complex64), np.eye(4))
  elif name == 'singular':
    image = nib.Nifti1Image(DATA, np.eye(4))
    image.header.set_sform(singular, code=1)
    nib.Nifti1Image(DATA, None, image.header).to_filename(path)
  return path


@pytest.mark.parametrize(
  'name, says',
  [
    ('truncated', 'damaged|truncated'),
    ('truncated_in_header', 'truncated'),
    ('empty', 'empty file'),
    ('text', 'another format'),
    ('four', '4 dimensions'),
    ('rgb', 'RGB'),
    ('complex', 'complex'),
    ('singular', 'singular affine'),
    ('absent', 'not a file'),
  ],
)
def test_refuses_with_a_sentence_that_names_the_file(tmp_path, name, says):
  path = damaged(tmp_path, name)
  with pytest.raises(BadScan, match=says) as caught:
    nifti.read(path)
  message = str(caught.value)
  assert str(path) in message and 'allowed' in message and '\n' not in message


def test_truncated_plain_file(tmp_path):
  path = tmp_path / 'a.nii'
  whole = pathlib.Path(write(tmp_path / 'whole.nii', DATA, np.eye(4))).read_bytes()
  path.write_bytes(whole[:-200])
  with pytest.raises(BadScan, match='a.nii'):
    nifti.read(path)


@pytest.mark.parametrize('value, says', [(np.nan, 'NaN'), (np.inf, 'NaN or Inf in 1')])
def test_refuses_values_that_are_not_finite(value, says):
  data = DATA.copy()
  data[1, 2, 3] = value
  with pytest.raises(BadScan, match=says):
    nifti.check_values(nifti.Volume(data, np.eye(4), 'scan.nii'))


def test_refuses_a_constant_image():
  with pytest.raises(BadScan, match='scan.nii is constant at 3'):
    nifti.check_values(nifti.Volume(np.full((3, 3, 3), 3.0), np.eye(4), 'scan.nii'))


def test_a_mask_must_lie_on_its_scan(tmp_path):
  scan = nifti.Volume(DATA, np.eye(4), 'scan.nii')
  other = write(tmp_path / 'other.nii.gz', DATA[1:], np.eye(4))
  with pytest.raises(BadScan, match=r'other.nii.gz has shape \(5, 7, 8\)'):
    nifti.read_mask(other, scan)
  moved = np.eye(4)
  moved[0, 3] = 5
  away = write(tmp_path / 'away.nii.gz', DATA, moved)
  with pytest.raises(BadScan, match='away.nii.gz lies up to 5.0 mm'):
    nifti.read_labels(away, scan)
  empty = write(tmp_path / 'empty.nii.gz', np.zeros_like(DATA), np.eye(4))
  with pytest.raises(BadScan, match='empty.nii.gz is an empty mask'):
    nifti.read_mask(empty, scan)
  assert not nifti.read_mask(empty, scan, may_be_empty=True).any()


def test_a_mask_is_cut_at_half_its_maximum(tmp_path):
  scan = nifti.Volume(DATA, np.eye(4), 'scan.nii')
  path = write(tmp_path / 'soft.nii.gz', 200 * DATA, np.eye(4))
  np.testing.assert_array_equal(nifti.read_mask(path, scan), DATA > DATA.max() / 2)


def test_values_are_scaled_by_the_slope(tmp_path):
  path = write(tmp_path / 'a.nii.gz', 3000 * DATA, np.eye(4), np.int16)
  assert nib.load(path).dataobj.slope != 1
  np.testing.assert_allclose(nifti.read_image(path).data, 3000 * DATA, atol=0.1)


def test_a_trailing_axis_of_one_is_a_volume():
  image = nib.Nifti1Image(DATA[..., None], np.eye(4))
  np.testing.assert_array_equal(nifti.read_image(image).data, DATA)
