"""Heads that differ from an isotropic head in one respect are stripped or refused.

Oracle: the automatic labels that come with the scans, closed and filled.
"""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from uad_jax.data.preprocessing import brain_checks, brainmask, grid, nifti, strip
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.data.preprocessing.scan import ScanState
from uad_jax.data.preprocessing.steps.brain import brain_mask

SUBJECTS = ('IXI267', 'IXI484')


def head_of(real_data, subject):
  """An IXI head in RAS with its brain mask and affine."""
  folder = real_data / 'ixi_t1_2mm'
  scan = next(folder.glob(f'sub-{subject}/anat/*_T1w.nii.gz'))
  labels = next(folder.glob(f'derivatives/dlmuse/sub-{subject}/anat/*_dseg.nii.gz'))
  image = nib.as_closest_canonical(nib.load(scan))
  labels = nib.as_closest_canonical(nib.load(labels)).get_fdata() > 0
  mask = brainmask.closed(labels, grid.spacing(image.affine), 4.0)
  return image.get_fdata(dtype=np.float32), mask, image.affine


def respaced(image, affine, spacing):
  shape, new = grid.respaced(image.shape, affine, spacing)
  return grid.sample(image, np.linalg.inv(affine) @ new, shape, antialias=True), new


def with_neck(image, affine, mm):
  """The head with `mm` of tissue below: its lowest slices, there and back again."""
  count = int(mm / grid.spacing(affine)[2])
  lowest = np.concatenate([image[:, :, :4], image[:, :, 3::-1]], 2)
  neck = np.take(lowest, np.arange(count)[::-1] % 8, axis=2)
  return np.concatenate([neck, image], 2), grid.translated(affine, (0, 0, -count))


def changed(image, affine, recipe):
  """Image and affine after one of the recipes."""
  if recipe.startswith('blur'):
    sigma = float(recipe.split()[1]) / grid.FWHM / grid.spacing(affine)
    return ndimage.gaussian_filter(image, sigma), affine
  if recipe == 'neck':
    return with_neck(image, affine, 160)
  spacing = tuple(float(size) for size in recipe.split('x'))
  return respaced(image, affine, spacing)


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize('subject', SUBJECTS)
@pytest.mark.parametrize(
  'recipe', ['2x2x5', '2x5x2', '2x2x3', '0.9x0.9x0.9', 'blur 2.4', 'blur 4', 'neck']
)
def test_smooth_and_long_heads_are_stripped(real_data, subject, recipe):
  image, truth, affine = head_of(real_data, subject)
  image, at = changed(image, affine, recipe)
  truth = grid.sample_mask(truth, np.linalg.inv(affine) @ at, image.shape)
  stripped = strip.by_template(image, at)
  mask = stripped.mask
  assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.9
  assert not brain_checks.faults(stripped.fit)


def state(image, affine):
  return ScanState(
    image, None, None, None, None, affine, np.eye(4), None, (), {}, 'part.nii.gz'
  )


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize('subject', SUBJECTS)
@pytest.mark.parametrize('part', ['top 25', 'top 40', 'top 50', 'slab 40', 'sagittal'])
def test_a_part_of_a_head_is_refused(real_data, subject, part):
  image, _, affine = head_of(real_data, subject)
  height = image.shape[2]
  if part.startswith('top'):
    image = image[:, :, -int(height * int(part.split()[1]) / 100) :]
  elif part == 'sagittal':
    image = image[image.shape[0] // 2 - 10 :][:20]
  else:
    image = image[:, :, height // 2 - 10 :][:, :, :20]
  with pytest.raises(BadScan, match='part.nii.gz has no brain that is whole.*--mask'):
    brain_mask(state(image, affine))


@pytest.mark.realdata
def test_stripped_brains_and_their_slabs_are_taken(real_data):
  scans = sorted(real_data.glob('novosibirsk_t1_2mm/sub-*/anat/*_T1w.nii.gz'))[::12]
  scans += sorted(real_data.glob('ms_t1_flair/sub-*/anat/*_T1w.nii*'))[:1]
  assert len(scans) == 4
  for path in scans:
    native = nifti.read_image(path)
    whole = brain_mask(state(native.data, native.affine))
    assert whole.measured['by'] == 'stripped'
    assert 1000 < whole.measured['volume_ml'] < 2000
    middle = native.data.shape[2] // 2
    slab = native.data[:, :, middle - 10 : middle + 10]
    part = brain_mask(state(slab, native.affine))
    assert part.measured['by'] == 'stripped'
