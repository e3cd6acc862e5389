"""Oracles: numpy loops, quantiles, and identities such as a flip that undoes itself."""

import numpy as np
import pytest
from scipy import stats

from tests.domain_shift.phantom import brain
from uad_jax.domain_shift import blocks
from uad_jax.domain_shift.intensity_range import intensity_range
from uad_jax.domain_shift.shifts import SHIFTS, reference_quantiles

OPTIONS = {'histogram_matched': {'reference': reference_quantiles([brain(7)])}}


def made(name, **options):
  return SHIFTS[name](**{**OPTIONS.get(name, {}), **options})


def inside(arrays, name='image'):
  return arrays[name][arrays['mask'] > 0]


@pytest.fixture
def arrays():
  scan = brain(0)
  return {**scan, 'twin': scan['image'] + 0.01 * scan['mask']}


@pytest.mark.parametrize('name', SHIFTS)
def test_a_shift_changes_the_brain_only_and_repeats_with_the_seed(name, arrays):
  before = {key: value.copy() for key, value in arrays.items()}
  once = made(name)(arrays, np.random.default_rng(1))
  again = made(name)(arrays, np.random.default_rng(1))
  for key in arrays:
    np.testing.assert_array_equal(once[key], again[key])
    np.testing.assert_array_equal(arrays[key], before[key])
    assert once[key].dtype == arrays[key].dtype
    assert once[key].shape == arrays[key].shape
  assert np.isfinite(once['image']).all()
  assert not np.array_equal(once['image'], arrays['image'])
  assert (once['image'][once['mask'] == 0] == 0).all()


@pytest.mark.parametrize('name', [n for n in SHIFTS if n != 'flipped_z'])
def test_a_shift_takes_a_slice_too(name, arrays):
  planar = {key: value[:, :, 12] for key, value in arrays.items()}
  shifted = made(name)(planar, np.random.default_rng(0))
  assert shifted['image'].shape == planar['image'].shape
  assert np.isfinite(shifted['image']).all()


def test_a_background_that_is_not_zero_keeps_its_value(arrays):
  arrays = {**arrays, 'image': np.where(arrays['mask'] > 0, arrays['image'], -3.5)}
  for name in set(SHIFTS) - {'flipped_x', 'flipped_y', 'flipped_z'}:
    image = made(name)(arrays, np.random.default_rng(0))['image']
    assert (image[arrays['mask'] == 0] == -3.5).all()
  # Averages of the brain alone: no voxel is drawn towards the background.
  coarse = made('low_resolution')(arrays, np.random.default_rng(0))
  assert inside(coarse).min() >= inside(arrays).min() - 1e-6


def test_another_contrast_reverses_the_order_of_the_intensities(arrays):
  shifted = made('other_contrast')(arrays, np.random.default_rng(0))
  rank = stats.spearmanr(inside(arrays), inside(shifted)).statistic
  assert rank == pytest.approx(-1)
  # Exponent 1 is the straight line that swaps the ends of the range.
  low, high = intensity_range(arrays)
  straight = made('other_contrast', gamma=1)(arrays, np.random.default_rng(0))
  np.testing.assert_allclose(inside(straight), low + high - inside(arrays), atol=1e-5)


def test_a_matched_histogram_has_the_quantiles_of_the_reference(arrays):
  others = [brain(seed) for seed in (1, 2, 3)]
  reference = reference_quantiles(others)
  probabilities = np.linspace(0.005, 0.995, 101)
  mean = np.mean([np.quantile(inside(x), probabilities) for x in others], 0)
  np.testing.assert_allclose(reference[0], mean, atol=1e-6)
  shifted = made('histogram_matched', reference=reference)(arrays, None)
  quantiles = np.quantile(inside(shifted), probabilities)
  np.testing.assert_allclose(quantiles, mean, atol=2e-3)


@pytest.mark.parametrize(
  'axis, name', list(enumerate(('flipped_x', 'flipped_y', 'flipped_z')))
)
def test_a_flip_mirrors_one_axis_and_undoes_itself(axis, name, arrays):
  flip = made(name)
  once = flip({**arrays, 'affine': np.eye(4)}, None)
  index = [slice(None)] * 4
  index[axis] = slice(None, None, -1)
  for key in arrays:
    np.testing.assert_array_equal(once[key], arrays[key][tuple(index)])
    np.testing.assert_array_equal(flip(once, None)[key], arrays[key])
  np.testing.assert_array_equal(once['affine'], np.eye(4))


def test_noise_has_the_stated_deviation_and_is_the_same_for_the_twin(arrays):
  shifted = made('noise', deviation=0.2)(arrays, np.random.default_rng(0))
  added = inside(shifted) - inside(arrays)
  low, high = intensity_range(arrays)
  assert added.std() == pytest.approx(0.2 * float(high[0] - low[0]), rel=0.03)
  assert abs(added.mean()) < 0.01
  np.testing.assert_allclose(
    inside(shifted, 'twin') - inside(arrays, 'twin'), added, atol=1e-6
  )


def test_a_bias_field_is_a_smooth_factor_of_mean_log_zero(arrays):
  shifted = made('bias_field', strength=0.5)(arrays, np.random.default_rng(0))
  brain_mask = arrays['mask'] > 0
  ratio = np.log(shifted['image'][brain_mask] / arrays['image'][brain_mask])
  assert ratio.std() > 0.05
  assert ratio.mean() == pytest.approx(0, abs=1e-3)
  field = np.full(brain_mask.shape, np.nan)
  field[brain_mask] = ratio
  assert np.nanmax(np.abs(np.diff(field, axis=0))) < 0.2
  # A factor of magnitudes: intensities shifted by a constant get the same field.
  moved = {**arrays, 'image': arrays['image'] - 3}
  again = made('bias_field', strength=0.5)(moved, np.random.default_rng(0))
  np.testing.assert_allclose(again['image'] + 3, shifted['image'], atol=1e-5)


def test_thick_slices_are_means_of_slabs_and_constant_before_interpolation():
  rng = np.random.default_rng(0)
  image, mask = rng.normal(size=(3, 2, 11, 1)), rng.random((3, 2, 11, 1)) < 0.8
  for offset in range(4):
    starts = [np.arange(3), np.arange(2), blocks.block_starts(11, 4, offset)]
    means = blocks.block_means(image, mask, starts)
    slab = (np.arange(11) + offset) // 4
    for number in range(slab[-1] + 1):
      # Oracle: the mean of the brain voxels of the slab, voxel column by column.
      for x, y in np.ndindex(3, 2):
        members = image[x, y, slab == number][mask[x, y, slab == number]]
        expected = members.mean() if members.size else np.nan
        np.testing.assert_allclose(means[x, y, number, 0], expected)


def test_interpolation_between_slabs_is_linear():
  # Oracle: numpy's interpolation between the centres of the slabs, in a full mask.
  line = np.random.default_rng(0).normal(size=(10, 1))
  starts = [blocks.block_starts(10, 4, 2)]  # slabs of 2, 4 and 4 voxels
  means = blocks.block_means(line, np.ones((10, 1), bool), starts)
  oracle = np.interp(np.arange(10), [0.5, 3.5, 7.5], means[:, 0])
  np.testing.assert_allclose(blocks.interpolated(means, starts, (10,))[:, 0], oracle)


def test_blocks_keep_constants_and_lower_the_detail(arrays):
  flat = {**arrays, 'image': 2.5 * arrays['mask']}
  for name in ('thick_slices', 'low_resolution'):
    same = made(name)(flat, np.random.default_rng(0))
    np.testing.assert_allclose(inside(same), 2.5, atol=1e-6)
    shifted = made(name)(arrays, np.random.default_rng(0))
    assert inside(shifted).std() < 0.9 * inside(arrays).std()


def test_a_texture_keeps_the_histogram_and_loses_the_brain(arrays):
  correlations = []
  for seed in range(10):
    shifted = made('texture')(arrays, np.random.default_rng(seed))
    np.testing.assert_array_equal(np.sort(inside(shifted)), np.sort(inside(arrays)))
    correlations.append(np.corrcoef(inside(shifted), inside(arrays))[0, 1])
  assert abs(np.mean(correlations)) < 0.15


def test_digits_are_the_same_in_all_slices_and_hold_no_lesion(arrays):
  arrays = {**arrays, 'lesion': arrays['mask']}
  shifted = made('digits')(arrays, np.random.default_rng(0))
  centre = shifted['image'][10:22, 10:26, 8:16]
  np.testing.assert_array_equal(centre, np.repeat(centre[:, :, :1], 8, 2))
  assert centre.std() > 0.05
  assert not shifted['lesion'].any()
  low, high = intensity_range(arrays)
  assert inside(shifted).min() >= low[0] - 1e-6
  assert inside(shifted).max() <= high[0] + 1e-6


@pytest.mark.parametrize(
  'name, options, sentence',
  [
    (
      'other_contrast',
      {'gamma': 0.5},
      'gamma is 0.5; allowed is a number of 1 or more',
    ),
    ('noise', {'deviation': -1}, 'deviation is -1'),
    ('thick_slices', {'thickness': 1}, 'thickness is 1'),
    ('low_resolution', {'factor': 1}, 'factor is 1'),
    ('texture', {'smoothness': 0}, 'smoothness is 0; allowed is a number above 0'),
  ],
)
def test_an_option_outside_its_range_is_refused(name, options, sentence):
  with pytest.raises(ValueError, match=sentence):
    made(name, **options)


def test_an_image_that_cannot_be_shifted_is_refused(arrays):
  rng = np.random.default_rng(0)
  with pytest.raises(ValueError, match='brain mask that is not empty'):
    made('noise')({**arrays, 'mask': 0 * arrays['mask']}, rng)
  with pytest.raises(ValueError, match='intensities that vary'):
    made('noise')({**arrays, 'image': 0 * arrays['image']}, rng)
  with pytest.raises(ValueError, match='axis is 2; allowed is a whole number from 0'):
    made('flipped_z')({key: value[:, :, 0] for key, value in arrays.items()}, rng)
  with pytest.raises(ValueError, match='0 scans for reference quantiles'):
    reference_quantiles([])
