import json
import sys

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from tests.data.heads import TO_SCAN, head, write
from uad_jax.data.preprocessing import brainmask, grid, intensity, preprocess
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.data.record import VENTRICLE

SHAPE = (48, 56, 44)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
  folder = tmp_path_factory.mktemp('head')
  image, labels, affine = head()
  return {
    'path': write(folder / 'a_T1w.nii.gz', image, affine, np.int16),
    'labels': write(folder / 'a_dseg.nii.gz', labels.astype(np.uint8), affine),
  }


def world(prepared, shape):
  """Scan mm of each voxel of the prepared grid."""
  voxels = np.moveaxis(np.indices(shape), 0, -1)
  return nib.affines.apply_affine(prepared.to_scan @ prepared.affine, voxels)


def smooth(mm):
  x, y, z = np.moveaxis(mm, -1, 0)
  return np.sin(x / 40) + np.cos(y / 50) + np.sin((x + z) / 60)


@pytest.mark.parametrize('align', [True, False])
def test_a_smooth_volume_comes_back(files, align):
  # Oracle: the function itself at the scan's own voxels; h^2/8 |f''| < 0.01 at 4 mm.
  prepared = preprocess.prepare_scan(
    files['path'], preprocess.job(SHAPE, 4.0, align), labels=files['labels']
  )
  assert prepared.image.shape == (*SHAPE, 1)
  back = preprocess.restore(smooth(world(prepared, SHAPE)), prepared, fill=np.nan)
  native = nib.load(files['path'])
  assert back.shape == native.shape
  voxels = np.moveaxis(np.indices(native.shape), 0, -1)
  true = smooth(nib.affines.apply_affine(native.affine, voxels))
  labels = np.asarray(nib.load(files['labels']).dataobj)
  seen = np.isfinite(back)
  assert seen[labels > 0].mean() > 0.99
  assert np.abs(back - true)[seen].max() < 0.01


@pytest.mark.parametrize('align', [True, False])
def test_a_landmark_comes_back_to_its_voxel(files, align):
  native = nib.load(files['path'])
  landmark = np.array([27, 24, 21])
  at = np.indices(native.shape) - landmark[:, None, None, None]
  blob = np.exp(-0.5 * (at**2).sum(0) / 2**2).astype(np.float32)
  steps = preprocess.job(SHAPE, 4.0, align)
  lesion = nib.Nifti1Image((blob > 0.5).astype(np.uint8), native.affine)
  prepared = preprocess.prepare_scan(
    files['path'], steps, labels=files['labels'], lesion=lesion
  )
  assert prepared.lesion.sum() > 5
  back = preprocess.restore(prepared.lesion[..., 0], prepared)
  found = ndimage.center_of_mass(back)
  assert np.abs(found - landmark).max() < 0.5


def test_interpolates_once_from_the_native_grid(files):
  # Oracle: scipy.ndimage.map_coordinates on the file's own array.
  steps = [
    ('reorient', {}),
    ('brain_mask', {}),
    ('align', {}),
    ('crop', {}),
    ('resample', {'spacing': 3.0, 'antialias': False}),
    ('pad_or_crop', {'shape': (64, 64)}),
  ]
  prepared = preprocess.prepare_scan(files['path'], steps, labels=files['labels'])
  native = nib.load(files['path'])
  shape = prepared.image.shape[:3]
  voxels = nib.affines.apply_affine(
    np.linalg.inv(native.affine), world(prepared, shape)
  )
  oracle = ndimage.map_coordinates(
    native.get_fdata(), np.moveaxis(voxels, -1, 0), order=1
  )
  inside = prepared.mask[..., 0] > 0
  np.testing.assert_allclose(prepared.image[..., 0][inside], oracle[inside], atol=0.5)
  assert inside.sum() > 20_000


def test_reorient_is_nibabels(files):
  prepared = preprocess.prepare_scan(files['path'], [('reorient', {})])
  oracle = nib.as_closest_canonical(nib.load(files['path']))
  np.testing.assert_allclose(prepared.affine, oracle.affine, atol=1e-9)
  np.testing.assert_allclose(prepared.image[..., 0], oracle.get_fdata(), rtol=1e-6)
  back = preprocess.restore(prepared.image, prepared)[..., 0]
  np.testing.assert_allclose(back, nib.load(files['path']).get_fdata(), atol=0.01)


def test_aligned_scans_share_a_grid(files):
  steps = preprocess.job((64, 64), 3.0)
  image, labels, affine = head(to_scan=np.eye(4))
  one = preprocess.prepare_scan(files['path'], steps, labels=files['labels'])
  two = preprocess.prepare_scan(
    nib.Nifti1Image(image, affine), steps, labels=nib.Nifti1Image(labels, affine)
  )
  np.testing.assert_array_equal(one.affine, two.affine)
  np.testing.assert_allclose(one.to_scan, TO_SCAN, atol=1.0)
  both = (one.mask[..., 0] > 0) & (two.mask[..., 0] > 0)
  assert 2 * both.sum() / (one.mask.sum() + two.mask.sum()) > 0.95
  a, b = one.image[..., 0][both], two.image[..., 0][both]
  assert np.corrcoef(a, b)[0, 1] > 0.9
  assert (one.labels == VENTRICLE).any()


def test_the_chain_is_json_and_in_order(files):
  steps = preprocess.job((32, 32), 6.0)
  prepared = preprocess.prepare_scan(files['path'], steps, labels=files['labels'])
  told = json.loads(json.dumps(prepared.chain))
  assert [step['step'] for step in told[1:]] == [name for name, _ in steps]
  assert told[0]['preprocessing'] == preprocess.VERSION
  found = next(step for step in told if step.get('step') == 'align')['to_scan']
  np.testing.assert_allclose(found, prepared.to_scan)


def test_the_twin_gets_the_intensities_of_its_scan(files):
  native = nib.load(files['path'])
  data = native.get_fdata(dtype=np.float32)
  lesion = np.zeros(data.shape, np.uint8)
  lesion[24:29, 24:29, 20:24] = 1
  scan = nib.Nifti1Image(np.where(lesion, 0.4 * data, data), native.affine)
  prepared = preprocess.prepare_scan(
    scan,
    preprocess.job(SHAPE, 4.0, align=False),
    labels=files['labels'],
    lesion=nib.Nifti1Image(lesion, native.affine),
    twin=files['path'],
  )
  lesion = prepared.lesion[..., 0] > 0
  far = ~ndimage.binary_dilation(lesion, iterations=3)
  difference = (prepared.twin - prepared.image)[..., 0]
  assert np.abs(difference[far]).max() < 1e-5
  assert difference[lesion].mean() > 0.1


def test_a_lesion_without_twin_has_none(files):
  native = nib.load(files['path'])
  lesion = np.zeros(native.shape, np.uint8)
  lesion[25, 25, 20] = 1
  lesion = nib.Nifti1Image(lesion, native.affine)
  steps = [('check', {})]
  assert preprocess.prepare_scan(files['path'], steps, lesion=lesion).twin is None
  healthy = preprocess.prepare_scan(files['path'], steps)
  np.testing.assert_array_equal(healthy.twin, healthy.image)


def test_slices_are_chosen_by_area(files):
  prepared = preprocess.prepare_scan(
    files['path'], preprocess.job((64, 64), 4.0, fraction=0.5), labels=files['labels']
  )
  area = prepared.mask[..., 0].sum((0, 1))
  assert prepared.slices == tuple(np.flatnonzero(area >= 0.5 * area.max()))
  assert 0 < len(prepared.slices) < len(area)


def test_otsu_finds_most_of_the_brain_and_warns(files):
  image, labels, affine = head(spacing=3.0, shape=(76, 68, 64))
  with pytest.warns(UserWarning, match='rough one by Otsu'):
    mask = brainmask.by_otsu(image, grid.spacing(affine))
  true = brainmask.from_labels(labels, grid.spacing(affine))
  assert 2 * (mask & true).sum() / (mask.sum() + true.sum()) > 0.85


def test_a_stripped_brain_needs_no_otsu():
  image, labels, affine = head()
  prepared = preprocess.prepare_scan(
    nib.Nifti1Image(np.where(labels > 0, image + 1, 0), affine), [('brain_mask', {})]
  )
  assert prepared.chain[-1]['by'] == 'stripped'
  true = brainmask.from_labels(labels, grid.spacing(affine))
  both = (prepared.mask[..., 0] > 0) & true
  assert 2 * both.sum() / (prepared.mask.sum() + true.sum()) > 0.98


def test_n4_says_what_is_missing(files, monkeypatch):
  monkeypatch.setitem(sys.modules, 'SimpleITK', None)
  with pytest.raises(ModuleNotFoundError, match=r'needs SimpleITK; install'):
    preprocess.prepare_scan(files['path'], [('n4', {})])


def test_n4_flattens_a_bias(files):
  pytest.importorskip('SimpleITK')
  native = nib.load(files['path'])
  ramp = np.exp(np.linspace(-0.4, 0.4, native.shape[0]))[:, None, None]
  data = (native.get_fdata() * ramp).astype(np.float32)
  scan = nib.Nifti1Image(data, native.affine)
  prepared = preprocess.prepare_scan(scan, [('n4', {'shrink': 1})])
  brain = np.asarray(nib.load(files['labels']).dataobj) > 0

  def slope(volume):
    front, back = volume[:28], volume[28:]
    return np.log(np.median(back[brain[28:]]) / np.median(front[brain[:28]]))

  assert abs(slope(prepared.image[..., 0])) < 0.6 * abs(slope(data))


@pytest.mark.parametrize(
  'steps, says',
  [
    ([('blur', {})], "step 'blur' is unknown; allowed are check, reorient"),
    ([('crop', {'border': 3})], "'crop' does not take border; allowed are margin"),
    ([('intensity', {'how': 'log'})], "how='log'; allowed are percentile"),
    ([('intensity', {'how': 'peaks', 'low': 3})], 'does not take low'),
    ([('align', {})], "'align' needs the brain"),
    ([('brain_mask', {'how': 'magic'})], "how='magic'; allowed are auto, given"),
  ],
)
def test_wrong_steps_get_a_sentence(files, steps, says):
  with pytest.raises(ValueError, match=says):
    preprocess.prepare_scan(files['path'], steps)


def test_check_refuses_nan(files):
  data = nib.load(files['path']).get_fdata(dtype=np.float32)
  data[3, 3, 3] = np.nan
  with pytest.raises(BadScan, match='the image given holds NaN'):
    preprocess.prepare_scan(nib.Nifti1Image(data, np.eye(4)), [('check', {})])


def test_a_brain_cut_off_is_warned_of(files):
  steps = [('brain_mask', {}), ('crop', {}), ('pad_or_crop', {'shape': (20, 20, 20)})]
  with pytest.warns(UserWarning, match='loses .*% of its brain'):
    preprocess.prepare_scan(files['path'], steps, labels=files['labels'])


def brain(scale=1.0):
  """Fluid, grey, white: 300, 800, 1000 with the grey peak overlapped by the white."""
  random = np.random.default_rng(1)
  parts = [(300, 90, 12_000), (800, 70, 45_000), (1000, 35, 40_000)]
  values = [random.normal(mean, deviation, n) for mean, deviation, n in parts]
  return scale * np.concatenate(values)


@pytest.mark.parametrize('scale', [1.0, 0.01, 7.0])
def test_tissue_peaks_are_found(scale):
  grey, white = intensity.tissue_peaks(brain(scale))
  assert abs(grey / scale - 800) < 25
  assert abs(white / scale - 1000) < 10


def test_intensity_maps_land_where_they_say():
  values = brain()
  mapped = intensity.peaks(values, 0.4, 0.8)(np.array(intensity.tissue_peaks(values)))
  np.testing.assert_allclose(mapped, (0.4, 0.8))
  mapped = intensity.percentile(values, 1, 99)(values)
  np.testing.assert_allclose(np.percentile(mapped, (1, 99)), (0, 1), atol=1e-9)
  mapped = intensity.zscore(values, 0, 1)(values)
  np.testing.assert_allclose((mapped.mean(), mapped.std()), (0, 1), atol=1e-9)
  _, white = intensity.tissue_peaks(values)
  mapped = intensity.white_stripe(values, 0, 1)(np.array([white, values.max()]))
  assert mapped[0] == 0 and mapped[1] > 3


def test_histogram_match_gives_the_quantiles_of_the_reference():
  random = np.random.default_rng(0)
  reference = random.gamma(3, 2, 50_000)
  values = brain()
  mapped = intensity.histogram_match(values, intensity.quantiles(reference))(values)
  at = (0.05, 0.3, 0.5, 0.7, 0.95)
  np.testing.assert_allclose(
    np.quantile(mapped, at), np.quantile(reference, at), rtol=0.02
  )
  assert (np.diff(mapped[np.argsort(values)]) >= -1e-9).all()


@pytest.mark.realdata
def test_real_scans_line_up(real_data):
  folder = real_data / 'ixi_t1_2mm'
  steps = preprocess.IXI_3MM
  images = []
  for subject in ('sub-IXI014', 'sub-IXI034'):
    labels = next((folder / 'derivatives/dlmuse' / subject).rglob('*_dseg.nii.gz'))
    scan = next((folder / subject).rglob('*_T1w.nii.gz'))
    prepared = preprocess.prepare_scan(scan, steps, labels=labels)
    images.append(prepared)
    native = np.asarray(nib.load(labels).dataobj)
    ventricles = np.isin(native, preprocess.DLMUSE['ventricle'])
    back = preprocess.restore(prepared.labels[..., 0], prepared, order=0) == VENTRICLE
    assert 2 * (back & ventricles).sum() / (back.sum() + ventricles.sum()) > 0.7
  a, b = (p.image[..., 0] for p in images)
  assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.9


@pytest.mark.filterwarnings('ignore:.*with the template')
@pytest.mark.parametrize('align', [True, False])
@pytest.mark.parametrize('axis', [0, 1, 2])
def test_a_map_of_voxel_indices_goes_through_the_chain_and_back(align, axis):
  # The scan is the index of its own voxels, on a tilted grid with axes PSR.
  _, labels, affine = head()
  indices = np.indices(labels.shape)[axis].astype(np.float32)
  steps = [
    ('check', {}),
    ('reorient', {}),
    ('brain_mask', {'how': 'given'}),
    *([('align', {})] if align else []),
    ('crop', {'margin': 12.0}),
    ('resample', {'spacing': 3.0, 'antialias': False}),
    ('pad_or_crop', {'shape': (80, 96, 80)}),
  ]
  mask = nib.Nifti1Image((labels > 0).astype(np.uint8), affine)
  prepared = preprocess.prepare_scan(nib.Nifti1Image(indices, affine), steps, mask)
  back = preprocess.restore(prepared.image[..., 0], prepared, fill=np.nan)
  inside = ndimage.binary_erosion(labels > 0, iterations=2) & np.isfinite(back)
  assert inside.mean() > 0.9 * ndimage.binary_erosion(labels > 0, iterations=2).mean()
  assert np.abs(back - indices)[inside].max() < 0.5
