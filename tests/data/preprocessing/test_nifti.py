import pathlib

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from tests.data.heads import write
from uad_jax.data.preprocessing import nifti
from uad_jax.data.preprocessing.nifti import BadScan

RANDOM = np.random.default_rng(0)
DATA = RANDOM.random((6, 7, 8)).astype(np.float32)


def interpolated(top):
  """A block whose border was interpolated, 0 to `top` in whole numbers."""
  block = np.zeros((22, 22, 22), np.float32)
  block[3:-3, 3:-3, 3:-3] = 1
  return np.rint(top * np.clip(ndimage.gaussian_filter(block, 0.5) * 1.1, 0, 1))


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
  soft = (interpolated(255) / 300).astype(np.float32)
  scan = nifti.Volume(soft, np.eye(4), 'scan.nii')
  path = write(tmp_path / 'soft.nii.gz', soft, np.eye(4))
  np.testing.assert_array_equal(nifti.read_mask(path, scan), soft > soft.max() / 2)


BALL = np.linalg.norm(np.indices((20, 20, 20)) - 9.5, axis=0)
STRIPPED = np.where(BALL < 8, 100 + 20 * BALL, 0)
NO_MASKS = {
  'float32': (STRIPPED / 3).astype(np.float32),
  'normalised': (STRIPPED / STRIPPED.max()).astype(np.float32),
  'percent': (interpolated(100) + 0.5).astype(np.float32),
}


@pytest.mark.parametrize('kind', [*NO_MASKS, 'slope'])
def test_a_stripped_scan_is_no_brain_mask(tmp_path, kind):
  data = NO_MASKS.get(kind, STRIPPED)
  dtype = np.uint8 if kind == 'slope' else np.float32
  path = write(tmp_path / 'stripped.nii.gz', data, np.eye(4), dtype)
  volume = nifti.read(path)
  says = 'between 0.1 and 0.9' if kind == 'normalised' else 'values from'
  with pytest.raises(BadScan, match=f'stripped.nii.gz has .*{says}.* no brain mask'):
    nifti.read_mask(path, volume)
  assert nifti.read_mask(path, volume, may_be_empty=True).any()  # of lesions


def test_values_are_scaled_by_the_slope(tmp_path):
  path = write(tmp_path / 'a.nii.gz', 3000 * DATA, np.eye(4), np.int16)
  assert nib.load(path).dataobj.slope != 1
  np.testing.assert_allclose(nifti.read_image(path).data, 3000 * DATA, atol=0.1)


def test_a_trailing_axis_of_one_is_a_volume():
  image = nib.Nifti1Image(DATA[..., None], np.eye(4))
  np.testing.assert_array_equal(nifti.read_image(image).data, DATA)


TISSUES = (DATA * 4).astype(np.uint8)  # 0 to 3
DLMUSE = RANDOM.choice([0, 4, 11, 49, 51, 59, 100, 151, 207], DATA.shape)
NOT_MASKS = {
  'tissues': TISSUES,
  'tissues as float': TISSUES.astype(np.float32),
  'DLMUSE': DLMUSE.astype(np.int16),
  'of two kinds': (DATA * 3).astype(np.uint8),
  'signed': (DATA * 3).astype(np.int16) - 1,
}


@pytest.mark.parametrize('kind', NOT_MASKS)
def test_labels_are_no_mask(tmp_path, kind):
  scan = nifti.Volume(DATA, np.eye(4), 'scan.nii')
  path = write(tmp_path / 'labels.nii.gz', NOT_MASKS[kind], np.eye(4))
  with pytest.raises(BadScan, match='labels .*, .*; allowed is a mask .* --labels'):
    nifti.read_mask(path, scan)
  with pytest.raises(BadScan, match='lesion by `lesion_values`'):
    nifti.read_mask(path, scan, may_be_empty=True)
  values = [int(NOT_MASKS[kind].max())]
  chosen = nifti.read_mask(path, scan, may_be_empty=True, values=values)
  np.testing.assert_array_equal(chosen, NOT_MASKS[kind] == values[0])


@pytest.mark.parametrize(
  'mask, half',
  [
    (interpolated(255).astype(np.uint8), 127.5),
    (interpolated(100).astype(np.int16), 50),
    ((interpolated(255) / 255).astype(np.float32), 0.5),
    ((interpolated(1) * 7).astype(np.uint8), 3.5),
    ((DATA > 0.5) * 2.0 - 1, 0.5),
  ],
)
def test_soft_masks_and_masks_of_one_number_are_cut_at_half(tmp_path, mask, half):
  scan = nifti.Volume(mask, np.eye(4), 'scan.nii')
  path = write(tmp_path / 'mask.nii.gz', mask, np.eye(4))
  np.testing.assert_array_equal(nifti.read_mask(path, scan), mask > half)


def test_a_small_soft_mask_of_lesions_is_no_label_file():
  ball = np.linalg.norm(np.indices((9, 9, 9)) - 4, axis=0)
  soft = np.rint(255 * np.clip(1.6 - ball / 3, 0, 1)).astype(np.uint8)
  image = nib.Nifti1Image(soft, np.eye(4))
  mask = nifti.read_mask(image, nifti.read(image), may_be_empty=True)
  np.testing.assert_array_equal(mask, soft > 127)


@pytest.mark.realdata
def test_real_masks_are_masks_and_real_labels_are_not(real_data):
  masks = sorted((real_data / 'stroke_masks_mni').glob('*.nii.gz'))[:1]
  masks += sorted((real_data / 'ms_t1_flair').rglob('*mask.nii.gz'))[:1]
  for path in masks:
    volume = nifti.read(path)
    assert nifti.read_mask(path, volume).any()
  path = next((real_data / 'ixi_t1_2mm/derivatives/dlmuse').rglob('*_dseg.nii.gz'))
  with pytest.raises(BadScan, match='--labels'):
    nifti.read_mask(path, nifti.read(path))
