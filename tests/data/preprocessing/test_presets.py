import nibabel as nib
import numpy as np
import pytest

from tests.data.heads import head
from uad_jax.data.preprocessing import intensity, preprocess, presets
from uad_jax.data.preprocessing.presets import Request
from uad_jax.data.preprocessing.scan import ScanState
from uad_jax.data.preprocessing.steps import STEPS, check_steps
from uad_jax.data.preprocessing.steps.geometry import slices
from uad_jax.data.preprocessing.steps.values import denoise


@pytest.mark.parametrize('name', presets.PRESETS)
@pytest.mark.parametrize('form', presets.FORMS)
@pytest.mark.parametrize('contrast', ['t1', 'flair'])
def test_every_preset_is_a_job(name, form, contrast):
  steps = presets.steps(name, Request(contrast, form))
  check_steps(steps)
  shape = dict(steps)['pad_or_crop']['shape']
  assert len(shape) == (2 if form == 'slices' else 3)
  assert ('slices' in dict(steps)) == (form == 'slices')
  own = presets.steps(name, Request(contrast, form, shape, 7.0, 'otsu', 'none'))
  assert dict(own)['resample']['spacing'] == 7.0
  assert dict(own)['brain_mask']['how'] == 'otsu'
  assert not {'n4', 'bias'} & set(dict(own))


def prepared(name, **changes):
  image, labels, affine = head()
  stripped = nib.Nifti1Image(np.where(labels > 0, image, 0), affine)
  case = Request(bias='none', **changes)
  return preprocess.prepare_scan(stripped, presets.steps(name, case))


def test_chen2018_gives_z_scores_on_minus_three_and_a_half():
  # As published: mean 0, deviation 1 inside, -3.5 outside, 233 mm in 256 pixels.
  made = prepared('chen2018', shape=(64, 64), spacing=(233 / 64, 233 / 64, 4.0))
  inside = made.image[made.mask > 0]
  assert abs(inside.mean()) < 1e-3 and abs(inside.std() - 1) < 1e-3
  assert (made.image[made.mask == 0] == -3.5).all()
  steps = dict(presets.chen2018(Request()))
  np.testing.assert_allclose(steps['resample']['spacing'][0] * 256, 233)


def test_baur2021_divides_by_a_percentile():
  made = prepared('baur2021', shape=(64, 64), spacing=4.0)
  inside = made.image[made.mask > 0]
  assert made.image.min() == 0 and made.image.max() == 1
  assert 0.001 < (inside == 1).mean() < 0.01  # above the 99.8th percentile
  depth = made.image.shape[2]
  np.testing.assert_allclose(min(made.slices), 20 / 155 * (depth - 1), atol=1)
  np.testing.assert_allclose(max(made.slices), 130 / 155 * (depth - 1), atol=1)


def test_curvature_flow_moves_a_sphere_by_its_curvature():
  # Oracle: of I = r the gradient is 1 and div(grad I / |grad I|) = 2 / r.
  at = np.indices((33, 33, 33)) - 16.0
  radius = np.sqrt((at**2).sum(0))
  scan = ScanState(
    radius, None, None, None, None, np.eye(4), np.eye(4), None, (), {}, ''
  )
  change = (denoise(scan, rate=0.125, times=1).image - radius) / 0.125
  shell = (radius > 8) & (radius < 14)
  np.testing.assert_allclose(change[shell], 2 / radius[shell], rtol=0.03)
  noisy = np.random.default_rng(0).normal(size=(20, 20, 20)).astype(np.float32)
  quiet = denoise(scan._replace(image=noisy, twin=noisy))
  assert quiet.image.std() < 0.9 * noisy.std() and quiet.image.dtype == np.float32
  np.testing.assert_array_equal(quiet.image, quiet.twin)


def test_the_maximum_is_a_percentile():
  brain = np.linspace(0, 10, 1001)
  assert intensity.maximum(brain, 100)(brain).max() == 1
  np.testing.assert_allclose(intensity.maximum(brain, 50)(10.0), 2)


def test_slices_by_height():
  mask = np.zeros((4, 4, 11), bool)
  mask[1:3, 1:3, 1:10] = True
  scan = ScanState(
    mask.astype(np.float32), None, mask, None, None, np.eye(4), np.eye(4), None, (),
    {}, '',
  )  # fmt: skip
  assert slices(scan, heights=(0.2, 0.5), fraction=0.0).slices == (2, 3, 4, 5)
  assert slices(scan, fraction=0.0).slices == tuple(range(1, 10))


def test_wrong_cases_get_a_sentence():
  with pytest.raises(
    ValueError, match="unknown preset 'baur'; there are default, baur"
  ):
    presets.steps('baur', Request())
  with pytest.raises(ValueError, match="form is 'films'; allowed are slices, volumes"):
    presets.steps('default', Request(form='films'))
  with pytest.raises(ValueError, match='allowed are 3 sizes for volumes'):
    presets.steps('default', Request(form='volumes', shape=(1, 2)))
  with pytest.raises(ValueError, match="bias is 'n3'; allowed are own, n4, none"):
    presets.steps('default', Request(bias='n3'))
  assert set(STEPS) >= {'denoise', 'affine', 'ants'}
