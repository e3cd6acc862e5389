"""Half brains and loosely stripped heads are warned of, whole brains are not."""

import warnings

import numpy as np
import pytest
from scipy import ndimage

from tests.data.real_heads import SUBJECTS, head_of, state
from uad_jax.data.preprocessing import grid, nifti, stripped_checks
from uad_jax.data.preprocessing.steps.brain import brain_mask

SPACING = np.array([2.0, 2.0, 2.0])


def ellipsoid(shape=(60, 70, 50), radii=(24, 30, 20), centre=(30, 35, 25)):
  axes = np.ogrid[tuple(slice(n) for n in shape)]
  return (
    sum(((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii, strict=True)) <= 1
  )


def test_ends_of_an_ellipsoid_and_of_its_half():
  # Oracle: the sections of an ellipsoid of the half axis r at the depths h have the
  # areas 1 - (1 - h / r)^2 of the largest; those of a half end with the largest.
  whole = ellipsoid()
  depths = (np.arange(2) + 0.0) / 20
  expected = np.mean(1 - (1 - depths) ** 2)
  assert stripped_checks.ends(whole, SPACING) == pytest.approx(expected, abs=0.06)
  for axis, middle in ((0, 30), (1, 35), (2, 25)):
    for part in (slice(middle), slice(middle, None)):
      half = whole.copy()
      half[(slice(None),) * axis + (part,)] = False
      assert stripped_checks.ends(half, SPACING) > 0.95
      kept = [slice(None)] * 3  # the other half alone: the field of view ends there
      kept[axis] = slice(middle, None) if part.stop else slice(middle)
      assert stripped_checks.ends(half[tuple(kept)], SPACING) < 0.3
  assert stripped_checks.ends(np.zeros((9, 9, 9), bool), SPACING) == 0


def test_the_rim_is_the_share_of_dark_voxels_at_a_depth():
  mask = ellipsoid()
  depth = ndimage.distance_transform_edt(mask, sampling=SPACING)
  image = np.where(mask, 100.0, 0)
  assert stripped_checks.rim(image, mask, SPACING) == 0
  dark = np.where(depth <= 6, np.minimum(image, 20), image)
  assert stripped_checks.rim(dark, mask, SPACING) == 1
  assert stripped_checks.rim(np.where(depth <= 4, 20, image), mask, SPACING) == 0
  shell = (depth > 4) & (depth <= 6)
  half = np.where(shell & (np.arange(60) < 30)[:, None, None], 20, image)
  assert stripped_checks.rim(half, mask, SPACING) == pytest.approx(0.5, abs=0.03)
  # An offset of the background changes nothing.
  assert stripped_checks.rim(dark - 7, mask, SPACING) == 1


def test_a_mask_over_background_is_warned_of():
  mask = ellipsoid(radii=(20, 28, 20))
  image = np.where(mask, 100.0, 0).astype(np.float32)
  affine = np.diag([2.0, 2, 2, 1])
  brain_mask(state(image, affine)._replace(mask=mask))
  image[:30] = 0
  with pytest.warns(UserWarning, match=r'part.nii.gz has the .* in 48% of the brain'):
    brain_mask(state(image, affine)._replace(mask=mask))


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize('subject', SUBJECTS)
def test_half_brains_and_loose_stripping_are_warned_of(real_data, subject):
  image, brain, affine = head_of(real_data, subject)
  spacing = grid.spacing(affine)
  image = image + 1
  stripped = np.where(brain, image, 0)
  brain_mask(state(stripped, affine))  # warnings are errors
  middle = [int(places.mean()) for places in np.nonzero(brain)]
  outside = ndimage.distance_transform_edt(~brain, sampling=spacing)
  for axis in range(3):
    for part in (slice(middle[axis]), slice(middle[axis], middle[axis] + 5)):
      half = stripped.copy()
      half[(slice(None),) * axis + (part,)] = 0
      with pytest.warns(UserWarning, match='has a brain that ends at a plane'):
        brain_mask(state(half, affine))
  for mm in (4, 6):
    with pytest.warns(UserWarning, match='as if skull or scalp were left around'):
      brain_mask(state(np.where(outside <= mm, image, 0), affine))
  voxels = np.stack(np.indices(image.shape), -1) - middle
  oblique = np.where(voxels @ (0.8, 0.1, -0.6) < 0, stripped, 0)
  with pytest.warns(
    UserWarning, match='has no brain as the template has it: .* scales'
  ):
    brain_mask(state(oblique, affine), trim=True)
  # Trimmed, each gets about the mask of the whole head, and no warning.
  whole = brain_mask(state(image, affine)).mask
  for mm in (0, 2, 3, 4, 6):
    scan = state(np.where(outside <= mm, image, 0), affine)
    mask = brain_mask(scan, trim=True).mask
    assert 2 * (mask & whole).sum() / (mask.sum() + whole.sum()) > 0.98


@pytest.mark.slow
@pytest.mark.realdata
def test_stripped_brains_are_not_warned_of(real_data):
  scans = sorted(real_data.glob('novosibirsk_t1_2mm/sub-*/anat/*_T1w.nii.gz'))[::12]
  scans += sorted(real_data.glob('ms_t1_flair/sub-*/anat/*.nii*'))[:2]
  assert len(scans) == 5
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    for path in scans:
      native = nifti.read_image(path)
      brain_mask(state(native.data, native.affine))
