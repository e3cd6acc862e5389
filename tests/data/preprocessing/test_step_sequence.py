"""Nothing that is not finite, and no constant brain, leaves the preprocessing."""

import nibabel as nib
import numpy as np
import pytest

from tests.data.preprocessing.nifti_files import smooth_volume
from uad_jax.data.preprocessing import preprocess, steps
from uad_jax.data.preprocessing.nifti import BadScan

AFFINE = np.diag([2.0, 2, 2, 1])


def scan(data=None):
  data = smooth_volume((9, 10, 11)) if data is None else data
  return nib.Nifti1Image(data, AFFINE)


def spoil(value):
  """A step that sets voxels to a value: all of them unless it is NaN or Inf."""

  def step(state):
    image = state.image.copy()
    image[: 2 if not np.isfinite(value) else None] = value
    return state._replace(image=image)

  return step


@pytest.mark.parametrize(
  'value, says',
  [
    (np.nan, "holds NaN or Inf after the step 'spoil'"),
    (np.inf, "holds NaN or Inf after the step 'spoil'"),
    (3.0, "is constant in the brain after the step 'spoil'"),
  ],
)
def test_a_fault_names_the_step_that_made_it(monkeypatch, value, says):
  monkeypatch.setitem(steps.STEPS, 'spoil', spoil(value))
  sequence = [('reorient', {}), ('spoil', {}), ('crop', {}), ('pad_or_crop', {})]
  sequence = [sequence[0], sequence[1], ('pad_or_crop', {'shape': (9, 10)})]
  with pytest.raises(BadScan, match=f'the image given {says}; allowed is'):
    preprocess.prepare_scan(scan(), sequence)


def test_a_later_step_that_fails_on_a_fault_is_not_blamed(monkeypatch):
  monkeypatch.setitem(steps.STEPS, 'spoil', spoil(np.nan))
  sequence = [('spoil', {}), ('intensity', {'how': 'peaks'})]
  with pytest.raises(BadScan, match="holds NaN or Inf after the step 'spoil'"):
    preprocess.prepare_scan(scan(), sequence)


def test_nan_outside_of_the_brain_may_be_removed_by_a_step():
  data = smooth_volume((9, 10, 11)).astype(np.float32)
  data[0] = np.nan
  mask = np.zeros(data.shape, np.uint8)
  mask[3:7, 3:7, 3:7] = 1
  sequence = [('intensity', {'how': 'zscore'})]
  prepared = preprocess.prepare_scan(scan(data), sequence, mask=scan(mask))
  assert np.isfinite(prepared.image).all()
  with pytest.raises(BadScan, match='holds NaN or Inf as it was read'):
    preprocess.prepare_scan(scan(data), [('reorient', {})], mask=scan(mask))


def test_a_brain_that_is_cut_off_is_refused():
  mask = np.zeros((9, 10, 11), np.uint8)
  mask[0, 0, 0] = 1
  sequence = [('pad_or_crop', {'shape': (3, 3, 3)})]
  says = "no voxel in its brain mask after the step 'pad_or_crop'"
  with (
    pytest.warns(UserWarning, match='loses 100%'),
    pytest.raises(BadScan, match=says),
  ):
    preprocess.prepare_scan(scan(), sequence, mask=scan(mask))


@pytest.mark.parametrize(
  'how', ['percentile', 'maximum', 'zscore', 'peaks', 'white_stripe', 'histogram_match']
)
def test_a_brain_without_contrast_cannot_be_normalised(how):
  data = smooth_volume((9, 10, 11))
  mask = np.zeros(data.shape, np.uint8)
  mask[3:7, 3:7, 3:7] = 1
  data[mask > 0] = 0
  says = f"'{how}' cannot be fitted to, they are from 0 to 0 and hardly differ"
  with pytest.raises(BadScan, match=says):
    preprocess.prepare_scan(scan(data), [('intensity', {'how': how})], mask=scan(mask))
