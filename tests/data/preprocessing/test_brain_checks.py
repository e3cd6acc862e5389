"""Brain masks that are no brain are refused, with the value and the allowed range."""

import warnings

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from tests.data.heads import head
from uad_jax.data.preprocessing import (
  align,
  bias,
  brain_checks,
  brainmask,
  grid,
  preprocess,
)
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.data.preprocessing.scan import ScanState
from uad_jax.data.preprocessing.steps.brain import brain_mask, warn_if_estimated
from uad_jax.data.preprocessing.steps.geometry import onto_template

GOOD = brain_checks.Fit(1400.0, 0.96, 0.7, 0.8, 0.0)


def scan(image, affine, mask=None, labels=None):
  return ScanState(
    image, None, mask, labels, None, affine, np.eye(4), None, (), {}, 'a.nii.gz'
  )


def part(image, affine, axis, first, end):
  """The slices `first` to `end` of a volume along an axis, and their affine."""
  start = [first if a == axis else 0 for a in range(3)]
  return np.take(image, range(first, end), axis), grid.translated(affine, start)


@pytest.mark.parametrize(
  'change, words',
  [
    ({}, []),
    (
      {'volume_ml': 3145.0, 'scale': 1.61},
      ['volume 3145 ml (allowed 300 to 2300)', 'scale to the template 1.61 (allowed'],
    ),
    ({'volume_ml': 46.0}, ['volume 46 ml (allowed 300 to 2300)']),
    ({'scale': 1.788}, ['scale to the template 1.79 (allowed 0.2 to 1.4)']),
    ({'squeeze': 0.48}, ['ratio of its scales 0.48 (allowed 0.6 or more)']),
    ({'correlation': 0.7}, ['correlation with the template 0.70 (allowed 0.85 or']),
    (
      {'volume_ml': 1850.0, 'scale': 0.95, 'correlation': 0.92},
      ['volume 1850 ml at a correlation with the template of 0.92 (allowed from 1800'],
    ),
    ({'volume_ml': 1850.0, 'scale': 0.95}, []),
    ({'correlation': 0.92}, []),
    (
      {'volume_ml': 739.0, 'scale': 0.343, 'correlation': 0.971},
      ['volume relative to the aligned template 1.10 (allowed up to 1.08; noise'],
    ),
    ({'cut': 0.65}, ['65% of the largest section lie on the border of the field of']),
  ],
)
def test_each_measurement_is_checked(change, words):
  faults = brain_checks.faults(GOOD._replace(**change))
  assert len(faults) == len(words)
  for fault, start in zip(faults, words, strict=True):
    assert fault.startswith(start)


def test_the_cut_is_the_share_of_a_section():
  # Oracle: sections of a ball; at half its radius from the centre 3/4 of the largest.
  x, y, z = np.indices((81, 81, 81)) - 40
  ball = x**2 + y**2 + z**2 <= 30**2
  assert brain_checks.cut(ball) == 0
  assert brain_checks.cut(ball[:, :, 25:]) == pytest.approx(0.75, abs=0.01)
  assert brain_checks.cut(ball[40:]) == 1 and brain_checks.cut(ball & False) == 0
  fit = brain_checks.measure(
    ball, np.diag([2, 1, 1, 1.0]), np.diag([1.0, 0.5, 0.8, 1]), 0.9
  )
  assert fit.volume_ml == pytest.approx(2 * 4 / 3 * np.pi * 30**3 / 1000, rel=0.01)
  assert fit[2:] == pytest.approx((0.4, 0.5, 0))


@pytest.mark.parametrize('kind', ['64 voxels', '200 voxels', 'everything', 'labels'])
def test_a_mask_that_is_not_one_is_refused(kind):
  image, labels, affine = head()
  mask = np.zeros(image.shape, bool)
  if kind == 'everything':
    mask[:] = True
  else:
    side = {'64 voxels': 4, '200 voxels': 6, 'labels': 4}[kind]
    mask[20 : 20 + side, 20 : 20 + side, 20 : 20 + side] = True
  state = scan(image, affine, mask)
  if kind == 'labels':
    state = scan(image, affine, labels=mask.astype(np.int32))
  says = r'a.nii.gz has a brain mask by .* ml; allowed for a brain are 50 to 2500 ml.*'
  with pytest.raises(BadScan, match=says + '--mask'):
    brain_mask(state)
  # A user's own mask of a slab, and of a single slice, is taken.
  slab, at = part(labels > 0, affine, 1, 20, 26)
  assert brain_mask(scan(slab * 1.0, at, slab)).measured['volume_ml'] > 50
  tiny = mask[:, :, 20:21]
  assert brain_mask(scan(tiny * 1.0, affine, tiny)).mask is tiny


def test_a_mask_of_a_few_voxels_is_refused_before_any_step_fails():
  image, labels, affine = head()
  mask = np.zeros(image.shape, np.uint8)
  mask[20:24, 20:24, 20:24] = 1
  with pytest.raises(BadScan, match='4.1 ml; allowed'):
    preprocess.prepare_scan(
      nib.Nifti1Image(image, affine), preprocess.IXI_3MM, nib.Nifti1Image(mask, affine)
    )


@pytest.mark.parametrize('axis', [0, 1, 2])
def test_parts_of_a_head_are_not_taken_for_a_stripped_brain(axis):
  image, labels, affine = head()
  middle = image.shape[axis] // 2
  # The background is constant and the skull is not.
  inside = ndimage.binary_closing(image > 60, iterations=6)
  inside = ndimage.binary_fill_holes(np.pad(inside, 0))
  image = np.where(inside, np.maximum(image, 30), 0)
  slab, at = part(image, affine, axis, middle - 5, middle + 5)
  assert brainmask.stripped(slab, grid.spacing(at)) is None
  # The same slab of a stripped brain is a mask.
  slab, at = part(np.where(labels > 0, image, 0), affine, axis, middle - 5, middle + 5)
  mask = brain_mask(scan(slab, at)).mask
  brain, _ = part(labels > 0, affine, axis, middle - 5, middle + 5)
  assert 2 * (mask & brain).sum() / (mask.sum() + brain.sum()) > 0.97


@pytest.mark.slow
def test_a_slab_of_a_head_is_refused():
  image, _, affine = head()
  slab, at = part(image, affine, 1, 21, 31)
  with pytest.raises(BadScan, match='a.nii.gz has no brain that is whole.*--mask'):
    brain_mask(scan(slab, at))


@pytest.mark.parametrize('slices', [2, 3])
@pytest.mark.parametrize('how', ['auto', 'template', 'otsu', 'given'])
def test_a_localiser_is_refused_by_its_name(slices, how):
  image, labels, affine = head()
  image, at = part(image, affine, 1, 25, 25 + slices)
  state = scan(image, at)
  if how == 'given':
    mask, _ = part(labels > 0, affine, 1, 25, 25 + slices)
    state = scan(image, at, mask)
  steps = preprocess.IXI_3MM[3:]
  with pytest.raises(BadScan, match='a.nii.gz'), warnings.catch_warnings():
    warnings.simplefilter('ignore')
    state = brain_mask(state, how=how)
    for name, options in steps:
      state = preprocess.step_sequence.STEPS[name](state, **options)
    raise BadScan('a.nii.gz is usable with a mask of its own')


@pytest.mark.parametrize('case', ['empty', 'dark', 'one voxel', 'plane', 'flat'])
def test_what_cannot_be_aligned_is_refused(case):
  image, labels, affine = head()
  mask = np.zeros(image.shape, bool)
  if case == 'dark':
    image, mask = 0 * image, labels > 0
  elif case == 'one voxel':
    mask[25, 25, 25] = True
  elif case == 'plane':
    mask[:, 25] = True
    affine = np.diag([4.0, 4, 4, 1])
  elif case == 'flat':
    mask[:, 25:27] = True
    image = 0 * image
  with pytest.raises(BadScan, match='a.nii cannot be aligned with the template'):
    align.register(image, mask, affine, scan='a.nii')


def test_an_alignment_that_squeezes_the_brain_is_warned_of():
  image, labels, affine = head()
  state = scan(image, affine, labels > 0)
  with pytest.warns(UserWarning, match='scaled by 0.90 x 0.80 x 0.45 in the alignment'):
    onto_template(state, np.diag([0.8, 0.9, 0.45, 1]), {'ncc': 0.9}, 0.7, 'mni152')
  for matrix in (np.full((4, 4), np.nan), np.diag([1.0, 1, 0, 1])):
    with pytest.raises(BadScan, match='a.nii.gz cannot be aligned'):
      onto_template(state, matrix, {'ncc': 0.9}, 0.7, 'mni152')


@pytest.mark.parametrize('scales', [(50.8, 6.9, 3.2), (0.9, 0.8, 0.3)])
def test_an_absurd_alignment_is_refused(scales):
  image, labels, affine = head()
  state = scan(image, affine, labels > 0)
  with pytest.raises(BadScan, match='a.nii.gz is scaled by .* allowed are 0.4 to 2.5'):
    onto_template(state, np.diag([*scales, 1]), {'ncc': 0.9}, 0.7, 'mni152')


def test_a_scattered_mask_has_no_bias_field():
  image, labels, affine = head(spacing=3.0, shape=(76, 68, 64))
  mask = np.zeros(image.shape, bool)
  mask[::2, ::2, ::2] = True
  for brain in (mask, mask & False):
    with pytest.raises(BadScan, match='a.nii has a brain mask without any solid part'):
      bias.estimate(image, brain, affine, name='a.nii')


def test_an_estimated_mask_is_warned_of():
  measured = {'by': 'template', **GOOD.rounded()}
  chain = [{'preprocessing': '1'}, {'step': 'check'}, {'step': 'brain_mask'} | measured]
  says = r'estimated from the whole head \(1400 ml, correlation .* 0.96\).*--mask'
  with pytest.warns(UserWarning, match=says):
    warn_if_estimated(chain)
  # Scans that were prepared without measurements, and other masks.
  with pytest.warns(UserWarning, match='estimated from the whole head;'):
    warn_if_estimated([{'step': 'brain_mask', 'by': 'template'}])
  warn_if_estimated([{'step': 'brain_mask', 'by': 'given'}, {'step': 'bias'}])


def test_distances_in_the_bounding_box_are_those_of_the_volume():
  # Oracle: scipy's transforms of the whole volume.
  spacing, radius = np.array([1.0, 1.3, 2.1]), 3.7
  rng = np.random.default_rng(0)
  noise = ndimage.gaussian_filter(rng.random((40, 36, 30)), 1.5)
  for mask in (noise > 0.52, noise > 0.56, noise > 9):
    where = np.zeros(mask.shape, bool)
    where[4:28, 6:36, 5:22] = True
    mask = mask & where
    margin = [(5, 5)] * 3
    padded = np.pad(mask, margin)
    grown = padded
    if mask.any():
      grown = ndimage.distance_transform_edt(~padded, sampling=spacing) <= radius
    closed = ndimage.distance_transform_edt(grown, sampling=spacing) > radius
    oracle = ndimage.binary_fill_holes(closed[5:-5, 5:-5, 5:-5] | mask)
    np.testing.assert_array_equal(brainmask.closed(mask, spacing, radius), oracle)
    deep = ndimage.distance_transform_edt(padded, sampling=spacing)[5:-5, 5:-5, 5:-5]
    parts, count = ndimage.label(deep > 1.5)
    core = mask & False
    if count:
      core = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
      core = ndimage.distance_transform_edt(~core, sampling=spacing) <= 1.5
    np.testing.assert_array_equal(brainmask.opened(mask, spacing, 1.5), core & mask)
