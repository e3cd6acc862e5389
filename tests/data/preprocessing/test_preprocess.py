import json

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from tests.data.heads import TO_SCAN, head
from uad_jax.data.preprocessing import preprocess
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.data.preprocessing.tissue_classes import VENTRICLE

SHAPE = (48, 56, 44)


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


@pytest.mark.parametrize(
  'steps, says',
  [
    ([('blur', {})], "step 'blur' is unknown; allowed are check, "),
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
