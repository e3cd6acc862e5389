"""Preprocessing works on any affine scale of intensity, or refuses it."""

import functools

import nibabel as nib
import numpy as np
import pytest

from uad_jax.data.preprocessing import background, picture, preprocess
from uad_jax.data.preprocessing.nifti import BadScan

STEPS = [
  ('check', {}),
  ('reorient', {}),
  ('brain_mask', {}),
  ('bias', {}),
  ('crop', {}),
  ('resample', {'spacing': 5.0}),
]
BRAIN = ('percentile', 'maximum', 'zscore', 'peaks', 'white_stripe', 'histogram_match')
SCALES = {
  'X - 2000': lambda x: x - 2000,
  'x / max - 0.5': lambda x: x / x.max() - 0.5,
  'to [-1, 1]': lambda x: 2 * x / x.max() - 1,
  'whole-head z-scores': lambda x: (x - x.mean()) / x.std(),
  'uint16 with an offset': lambda x: np.rint(x + 32768).astype(np.uint16),
  'an offset as large as white': lambda x: x + 1000,
  'X * 1e-6': lambda x: x * 1e-6,
  'X * 1e6': lambda x: x * 1e6,
  'X * 1e-25': lambda x: x * 1e-25,
  'X * 1e25': lambda x: x * 1e25,
}


@pytest.fixture(scope='module')
def heads(files):
  """A scan, its affine, its labels, and the function that prepares it as it is."""
  scan = nib.load(files['path'])
  data = np.rint(scan.get_fdata())
  usual = functools.cache(lambda how: prepared(data, scan.affine, files['labels'], how))
  return data, scan.affine, files['labels'], usual


def prepared(data, affine, labels, how='percentile', more=()):
  steps = [*STEPS, ('intensity', {'how': how, 'clip': (-1.0, 3.0)}), *more]
  return preprocess.prepare_scan(nib.Nifti1Image(data, affine), steps, labels=labels)


@pytest.mark.parametrize('scale', SCALES)
def test_an_affine_scale_of_intensity_changes_nothing(heads, scale):
  # Oracle: the scan on its own scale.
  data, affine, labels, _ = heads
  change, how = SCALES[scale], BRAIN[list(SCALES).index(scale) % len(BRAIN)]
  usual = heads[3](how)
  other = prepared(change(data), affine, labels, how)
  np.testing.assert_array_equal(other.mask, usual.mask)
  np.testing.assert_allclose(other.image, usual.image, atol=2e-3)
  assert 'intensities' not in usual.chain[0]


@pytest.mark.parametrize(
  'how, shift', [('percentile', 0.0), ('peaks', 0.0), ('zscore', 3.0)]
)
def test_stripped_z_scores_with_background_zero_are_usable(heads, how, shift):
  # A shift of 3 is another background within the range of the tissue.
  data, affine, labels, _ = heads
  brain = np.asarray(nib.load(labels).dataobj) > 0
  stripped = np.where(brain, np.maximum(data, 1), 0)
  scores = (stripped - stripped[brain].mean()) / stripped[brain].std()
  usual = prepared(stripped, affine, None, how)
  other = prepared(np.where(brain, scores, 0) + shift, affine, None, how)
  both = (usual.mask > 0) & (other.mask > 0)
  assert 2 * both.sum() / (usual.mask.sum() + other.mask.sum()) > 0.97
  correlation = np.corrcoef(usual.image[both], other.image[both])[0, 1]
  assert np.isfinite(other.image).all() and correlation > 0.97
  assert (other.image[other.mask == 0] == 0).all()
  assert other.chain[0]['intensities']['background'] == pytest.approx(shift)


def test_the_twin_gets_the_change_of_its_scan(heads):
  data, affine, labels, _ = heads
  steps = [*STEPS, ('intensity', {'how': 'percentile'})]
  scan = nib.Nifti1Image(data - 2000, affine)
  same = preprocess.prepare_scan(scan, steps, labels=labels, twin=scan)
  np.testing.assert_array_equal(same.image, same.twin)


def test_usual_intensities_are_not_touched():
  random = np.random.default_rng(0)
  noise = np.abs(random.normal(0, 20, (20, 24, 22))).astype(np.float32)
  head = noise.copy()
  head[4:-4, 4:-4, 4:-4] += 800
  stripped = np.where(head > 400, head, 0)
  ripple = stripped + random.normal(0, 3, head.shape).astype(np.float32)
  ripple[3, 4:-4, 4:-4] = -60  # overshoot of a cubic interpolation
  dark = stripped.copy()
  dark[10, 10, 10] = -5000
  for image in (head, noise + 1, head + 30, stripped, ripple, dark, 1e-6 * head):
    assert background.fitted(image, 'scan.nii') is None
  assert background.fitted(np.full((4, 4, 4), 7, np.float32), 'scan.nii') is None


def test_noise_about_zero_is_shifted():
  # As the air of some inversion recovery images, -0.5 to 0.5.
  random = np.random.default_rng(0)
  image = random.uniform(-0.5, 0.5, (20, 24, 22)).astype(np.float32)
  image[5:-5, 5:-5, 5:-5] = 0.3
  change, description = background.fitted(image, 'scan.nii')
  assert change(image).min() >= 0
  assert description['intensities']['subtracted'] == pytest.approx(-0.5, abs=0.01)


def test_an_offset_beyond_float32_is_refused(heads):
  data, affine, labels, _ = heads
  says = 'intensities from 1000000000 to .* differ too little for float32; allowed'
  with pytest.raises(BadScan, match=says):
    prepared(data + 1e9, affine, labels)


@pytest.mark.realdata
def test_no_real_scan_is_changed(real_data):
  for folder in ('ms_t1_flair', 'novosibirsk_t1_2mm', 'ucla_t1_2mm', 'ixi_t1_2mm'):
    for path in sorted((real_data / folder).glob('sub-*/**/*.nii.gz'))[:3]:
      image = np.asarray(nib.load(path).dataobj, np.float32)
      assert background.fitted(image, str(path)) is None


@pytest.mark.parametrize('power', [200, -200, 45, -60])
def test_intensities_beyond_float32_are_refused_with_the_reason(heads, tmp_path, power):
  data, affine, _, _ = heads
  values = data * 10.0**power
  top = np.format_float_scientific(values.max(), 2, trim='-')
  image = nib.Nifti1Image(values, affine)
  nib.save(image, tmp_path / 'scan.nii')
  for source in (image, tmp_path / 'scan.nii'):
    with pytest.raises(BadScan) as error:
      preprocess.prepare_scan(source, STEPS)
    sentence = f'has intensities up to {top}, beyond the numbers of float32'
    assert sentence in str(error.value)


def test_a_scan_with_nan_is_refused_for_that_reason(heads):
  data, affine, _, _ = heads
  for bad in (np.nan, np.inf):
    values = data.copy()
    values[0, 0, 0] = bad
    with pytest.raises(BadScan, match='holds NaN or Inf in 1 voxels'):
      preprocess.prepare_scan(nib.Nifti1Image(values, affine), STEPS)


def test_a_picture_beyond_float32_is_refused_with_the_reason(tmp_path):
  np.save(tmp_path / 'a.npy', np.eye(8) * 1e200)
  with pytest.raises(BadScan, match=r'a.npy has intensities up to 1e\+200, beyond'):
    picture.read(tmp_path / 'a.npy')
