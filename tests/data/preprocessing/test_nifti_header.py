"""Where voxels lie: units, codes, qform and sform, and the results of a scan."""

import nibabel as nib
import numpy as np
import pytest

from tests.data.preprocessing.nifti_files import (
  SHAPE,
  compressed,
  image,
  raw_bytes,
  save,
  smooth_volume,
  with_fields,
)
from uad_jax.data.preprocessing import nifti, nifti_header, preprocess
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.ops import affine_matrix

RIGID = affine_matrix.matrix(np.array([3, -2, 5, 0.1, 0.2, -0.3, 0, 0, 0, 0, 0, 0]))
RIGID = RIGID @ np.diag([2.0, 2.0, 3.0, 1.0])
SHEARED = RIGID @ affine_matrix.matrix(np.array([*[0] * 9, 0.3, 0.1, 0.0]))
MOVED = np.diag([1.0, 1, 1, 1])
MOVED[0, 3] = 40.0
MOVED = MOVED @ RIGID

PLACED = {
  'both': {'qform': (RIGID, 1), 'sform': (RIGID, 4)},
  'qform only': {'qform': (RIGID, 2)},
  'sform only': {'sform': (RIGID, 1)},
  'sheared sform': {'qform': (RIGID, 1), 'sform': (SHEARED, 2)},
  'only a sheared sform': {'sform': (SHEARED, 2)},
  'disagreeing': {'qform': (RIGID, 1), 'sform': (MOVED, 1)},
  'codes 0': {'affine': RIGID, 'qform': (RIGID, 0), 'sform': (RIGID, 0)},
  'metre': {
    'qform': (np.diag([1e-3, 1e-3, 1e-3, 1]) @ RIGID, 1),
    'unit': 'meter',
  },
}
KINDS = {'nifti1': nib.Nifti1Image, 'nifti2': nib.Nifti2Image}


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('placed', PLACED)
def test_a_result_has_the_geometry_of_its_scan(tmp_path, placed, kind):
  # Oracle: the fields of the scan's own header, byte by byte.
  scan = image(**PLACED[placed], kind=KINDS[kind])
  scan.header['cal_max'], scan.header['descrip'] = 900, b'a name'
  scan.header.extensions.append(nib.nifti1.Nifti1Extension('comment', b'a name'))
  path = save(scan, tmp_path / 'scan.nii.gz')
  with nib.openers.Opener(path) as file:
    header = nib.load(path).header_class.from_fileobj(file)
  native = nifti.read_image(path)
  volume = np.linspace(0, 0.5, native.data.size, dtype=np.float32).reshape(SHAPE)
  for result in (volume, (volume > 0.2).astype(np.uint8)):
    made = nifti_header.image_like(result, native.header, native.affine)
    written = nib.load(save(made, tmp_path / 'map.nii.gz'))
    for field in nifti_header.GEOMETRY:
      np.testing.assert_array_equal(written.header[field], header[field], field)
    np.testing.assert_array_equal(written.header['pixdim'][:4], header['pixdim'][:4])
    np.testing.assert_array_equal(written.affine, nib.load(path).affine)
    np.testing.assert_array_equal(np.asarray(written.dataobj), result)
    assert written.header.get_data_dtype() == result.dtype
    assert written.header['cal_max'] == 0 and not written.header.extensions
    assert written.header['descrip'] == b''


def test_a_header_of_the_other_byte_order_is_kept(tmp_path):
  scan = image(**PLACED['both'])
  swapped = nib.Nifti1Image(scan.dataobj, None, scan.header.as_byteswapped())
  native = nifti.read_image(save(swapped, tmp_path / 'scan.nii'))
  np.testing.assert_array_equal(native.data, smooth_volume())
  made = nifti_header.image_like(native.data, native.header, native.affine)
  written = nib.load(save(made, tmp_path / 'map.nii'))
  np.testing.assert_array_equal(written.get_qform(), scan.get_qform())
  assert written.get_qform(coded=True)[1] == 1 and written.get_sform(coded=True)[1] == 4


@pytest.mark.parametrize('unit, scale', [('micron', 1e3), ('meter', 1e-3), ('mm', 1)])
def test_the_affine_is_in_mm(unit, scale):
  scan = image(sform=(np.diag([scale] * 3 + [1]) @ RIGID, 1), unit=unit)
  np.testing.assert_allclose(nifti.read(scan).affine, RIGID, rtol=1e-6, atol=1e-6)
  prepared = preprocess.prepare_scan(scan, [('resample', {'spacing': 5.0})])
  assert prepared.image.shape == (2, 3, 5, 1)
  np.testing.assert_allclose(prepared.native_affine, RIGID, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
  'scale, unit, says',
  [
    (1e3, 'mm', 'voxels of 2e.03 x 2e.03 x 3e.03 mm and mm as the unit'),
    (1e3, 'unknown', 'an unknown unit as the unit of its header; allowed are 0.05 to'),
    (1e-3, 'unknown', 'voxels of 0.002 x 0.002 x 0.003 mm'),
    (1.0, 'meter', 'metre as the unit'),
    (1.0, 'micron', 'micron as the unit'),
  ],
)
def test_units_that_cannot_be_are_refused(scale, unit, says):
  scan = image(sform=(np.diag([scale] * 3 + [1]) @ RIGID, 1), unit=unit)
  with pytest.raises(BadScan, match=says) as caught:
    preprocess.prepare_scan(scan, preprocess.IXI_3MM)
  assert 'units may be wrong' in str(caught.value)


def test_a_field_of_view_beyond_a_metre_is_refused():
  scan = nib.Nifti1Image(np.zeros((2, 2, 80), np.int16), np.diag([2.0, 2, 15, 1]))
  with pytest.raises(BadScan, match='covers 4 x 4 x 1.2e.03 mm .* allowed are up to'):
    nifti.read(scan)


def test_axes_in_one_plane_are_refused():
  affine = np.diag([2.0, 2, 2, 1])
  affine[:3, 2] = 2 / np.sqrt(2), 2 / np.sqrt(2), 0.01
  with pytest.raises(BadScan, match='singular affine'):
    nifti.read(image(sform=(affine, 1)))


def test_a_grid_that_cannot_be_allocated_is_refused():
  scan = image(**PLACED['both'])
  says = 'the grid of 0.0001 x 0.0001 x 0.0001 mm over the scan has 1'
  with pytest.raises(BadScan, match=says):
    preprocess.prepare_scan(scan, [('resample', {'spacing': 1e-4})])


@pytest.mark.parametrize(
  'placed, says',
  [
    ('disagreeing', 'an sform and a qform that lie up to 40.0 mm apart; the sform is'),
    ('sheared sform', 'a sheared sform and a qform that lie up to'),
    ('only a sheared sform', 'a sheared sform and no qform; .* ITK may refuse'),
    ('codes 0', 'does not state its orientation .* left, anterior and superior'),
  ],
)
def test_doubts_about_the_place_are_warned_of_once(tmp_path, placed, says):
  path = save(image(**PLACED[placed]), tmp_path / 'scan.nii.gz')
  with pytest.warns(UserWarning, match=says) as caught:
    prepared = preprocess.prepare_scan(path, [('reorient', {})])
  (warning,) = caught
  assert str(path) in str(warning.message) and '\n' not in str(warning.message)
  np.testing.assert_array_equal(prepared.native_affine, nib.load(path).affine)
  assert prepared.header['sform_code'] == nib.load(path).header['sform_code']


def test_without_codes_the_axes_are_nibabels(tmp_path):
  path = save(image(affine=None), tmp_path / 'scan.nii')
  with pytest.warns(UserWarning, match='does not state its orientation'):
    prepared = preprocess.prepare_scan(path, [('reorient', {})])
  assert prepared.chain[1]['from'] == 'LAS'


def analyze(path, origin=None):
  """An Analyze pair; with an origin, that of SPM, in voxels from 1."""
  made = nib.Spm99AnalyzeImage(smooth_volume(), None)
  made.header.set_zooms((2.0, 2.0, 3.0))
  if origin:
    made.header['origin'][:3] = origin
  made.to_file_map(made.filespec_to_file_map(path))
  path.with_suffix('.mat').unlink(missing_ok=True)
  return path


@pytest.mark.parametrize('origin, code', [(None, 0), ((2, 3, 4), 2)])
def test_an_analyze_scan_is_doubted_as_a_scan_without_codes(tmp_path, origin, code):
  path = analyze(tmp_path / 'scan.img', origin)
  with pytest.warns(UserWarning, match='does not state its orientation .Analyze has'):
    prepared = preprocess.prepare_scan(path, [('reorient', {})])
  assert prepared.chain[1]['from'] == 'LAS'
  native = nifti.read_image(path)
  made = nifti_header.image_like(native.data, prepared.header, native.affine, 'x')
  written = nib.load(save(made, tmp_path / 'map.nii.gz'))
  np.testing.assert_array_equal(written.affine, nib.load(path).affine)
  np.testing.assert_array_equal(written.header.get_zooms(), (2, 2, 3))
  # An origin can be written in an sform alone.
  assert (written.header['sform_code'], written.header['qform_code']) == (code, 0)
  assert written.header['descrip'] == b'x'


def test_an_analyze_scan_with_a_mat_file_of_spm_is_not_doubted(tmp_path):
  path = save(nib.Spm99AnalyzeImage(smooth_volume(), RIGID), tmp_path / 'scan.img')
  assert (tmp_path / 'scan.mat').exists()
  native = nifti.read_image(path)
  assert nifti_header.doubt(native.header, SHAPE, 'scan.img') == ''
  made = nifti_header.image_like(native.data, native.header, native.affine)
  written = nib.load(save(made, tmp_path / 'map.nii.gz'))
  np.testing.assert_allclose(written.affine, RIGID, atol=1e-5)
  assert written.header['sform_code'] > 0


@pytest.mark.parametrize('placed', ['both', 'qform only', 'sform only', 'metre'])
def test_a_scan_that_all_programs_place_alike_is_not_warned_of(placed):
  preprocess.prepare_scan(image(**PLACED[placed]), [('reorient', {})])


def test_forms_that_differ_by_less_than_half_a_voxel_agree():
  moved = RIGID.copy()
  moved[0, 3] += 0.9
  scan = image(qform=(RIGID, 1), sform=(moved, 1))
  preprocess.prepare_scan(scan, [('reorient', {})])


def test_a_broken_qform_beside_an_sform_is_no_traceback(tmp_path):
  data = with_fields(raw_bytes(image(**PLACED['both'])), quatern_b=3.0)
  (tmp_path / 'scan.nii').write_bytes(data)
  native = nifti.read_image(tmp_path / 'scan.nii')
  assert nifti_header.doubt(native.header, SHAPE, 'scan.nii') == ''
  (tmp_path / 'scan.nii.gz').write_bytes(compressed(data))
  made = nifti_header.image_like(native.data, native.header, native.affine)
  written = nib.load(save(made, tmp_path / 'map.nii.gz'))
  assert written.header['quatern_b'] == 3


def test_an_image_of_another_format_gets_its_affine():
  scan = nib.MGHImage(smooth_volume().astype(np.float32), RIGID)
  native = nifti.read_image(scan)
  made = nifti_header.image_like(native.data, native.header, native.affine)
  np.testing.assert_array_equal(made.affine, scan.affine)


@pytest.mark.realdata
def test_no_real_scan_is_in_doubt(real_data):
  paths = sorted(real_data.rglob('*.nii.gz'))
  assert len(paths) > 300
  for path in paths:
    scan = nib.load(path)
    affine = nifti_header.affine_in_mm(scan, str(path))
    np.testing.assert_array_equal(affine, scan.affine)
    assert nifti_header.doubt(scan.header, scan.shape, str(path)) == ''
