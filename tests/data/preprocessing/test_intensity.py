import sys

import nibabel as nib
import numpy as np
import pytest

from uad_jax.data.preprocessing import intensity, preprocess


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
  mapped = intensity.quartiles(values, 0.4, 0.6)(values)
  np.testing.assert_allclose(np.percentile(mapped, (25, 75)), (0.4, 0.6))
  mapped = intensity.zscore(values, 0, 1)(values)
  np.testing.assert_allclose((mapped.mean(), mapped.std()), (0, 1), atol=1e-9)
  _, white = intensity.tissue_peaks(values)
  mapped = intensity.white_stripe(values, 0, 1)(np.array([white, values.max()]))
  assert mapped[0] == 0 and mapped[1] > 3


def test_a_lesion_hardly_moves_the_quartiles():
  values = brain()
  lesion = values.copy()
  lesion[-4000:] = 2000  # 4 % of the brain, twice as bright as white matter
  at = np.array([300.0, 800, 1000])

  def moved(how):
    return np.abs(how(lesion)(at) - how(values)(at)).max()

  assert moved(intensity.quartiles) < 0.03 < 0.3 < moved(intensity.percentile)


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
