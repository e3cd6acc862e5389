"""Oracles: closed forms of simple images, numpy loops, and invariances."""

import math

import numpy as np
import pytest
from scipy import stats

from tests.domain_shift.phantom import brain, with_lesion
from uad_jax.domain_shift import image_statistics, statistics
from uad_jax.domain_shift.shifts import SHIFTS
from uad_jax.ops.output_names import OUTPUTS

FULL = np.ones((12, 12, 12), bool)


def of(arrays):
  return statistics.of_scan(arrays['image'], arrays['mask'])


def test_the_entropy_of_a_uniform_residual_is_1_and_of_a_single_voxel_0():
  assert statistics.residual_entropy(np.full(500, 0.3)) == pytest.approx(1)
  assert statistics.residual_entropy(np.eye(1, 500)) == 0
  # k equal voxels of n: log k / log n.
  two = np.zeros(64)
  two[:8] = 2.0
  assert statistics.residual_entropy(two) == pytest.approx(math.log(8) / math.log(64))
  assert math.isnan(statistics.residual_entropy(np.zeros(5)))
  with pytest.raises(ValueError, match='finite and at least 0'):
    statistics.residual_entropy(np.array([0.1, -0.1]))


def test_the_entropy_is_that_of_scipy():
  residual = np.random.default_rng(0).exponential(size=1000)
  oracle = stats.entropy(residual) / np.log(1000)
  assert statistics.residual_entropy(residual) == pytest.approx(oracle)


def test_residual_statistics_are_those_of_the_brain_voxels():
  arrays = brain(0)
  residual = np.random.default_rng(0).exponential(size=(*arrays['image'].shape[:3], 2))
  made = statistics.of_residual(residual, arrays['mask'])
  values = residual.mean(-1)[arrays['mask'][..., 0] > 0]
  assert made['residual_mean'] == pytest.approx(values.mean())
  for percent in (25, 50, 75, 95):
    oracle = np.percentile(values, percent)
    assert made[f'residual_{percent}'] == pytest.approx(oracle)


def test_likelihoods_are_per_voxel_and_the_bound_has_its_sign():
  outputs = {'rec': np.array([30.0, 10.0]), 'kl': np.array([4.0, 6.0])}
  made = statistics.of_likelihoods(outputs, 10)
  assert made == {'rec': 4, 'kl': 1, 'elbo': -5}
  # A method's ELBO is taken as it is, even where 'rec' is another error.
  assert statistics.of_likelihoods({**outputs, 'elbo': np.full(2, -20.0)}, 10)[
    'elbo'
  ] == pytest.approx(-4)
  assert statistics.of_likelihoods({'log_prob': np.array(-7.0)}, 7) == {'log_prob': -1}
  assert set(statistics.LIKELIHOODS) <= set(OUTPUTS)


def test_the_shape_of_the_histogram_does_not_change_with_scale_and_origin():
  values = np.random.default_rng(0).gamma(2, size=4000)
  made = image_statistics.histogram_shape(values)
  q25, q50, q75 = np.quantile(values, (0.25, 0.5, 0.75))
  assert made['brightness'] == pytest.approx(q50)
  assert made['contrast'] == pytest.approx(q75 - q25)
  oracle = ((q75 - q50) - (q50 - q25)) / (q75 - q25)
  assert made['asymmetry'] == pytest.approx(oracle)
  moved = image_statistics.histogram_shape(3 * values - 5)
  inverted = image_statistics.histogram_shape(-values)
  for name in ('asymmetry', 'tails'):
    assert moved[name] == pytest.approx(made[name])
  assert inverted['asymmetry'] == pytest.approx(-made['asymmetry'])
  # A normal distribution: (q90 - q10) / (q75 - q25) = z(0.9) / z(0.75).
  normal = image_statistics.histogram_shape(
    stats.norm.ppf(np.linspace(0, 1, 9999)[1:-1])
  )
  ratio = stats.norm.ppf(0.9) / stats.norm.ppf(0.75)
  assert normal['tails'] == pytest.approx(ratio, rel=1e-3)


def test_sharpness_has_the_closed_form_of_parabolas_and_of_noise():
  x, y, z = np.meshgrid(*[np.arange(12.0)] * 3, indexing='ij')
  # Second differences of a x^2 with step s are 2 a s^2.
  made = image_statistics.sharpness(x**2 + 2 * y**2 + 8 * z**2, FULL)
  assert made['resolution'] == pytest.approx(math.log(4))
  logs = np.log([2, 4, 16])
  along = [made[f'sharpness_{k}'] for k in range(3)]
  np.testing.assert_allclose(along, logs - logs.mean(), atol=1e-12)
  width = np.subtract(*np.quantile(x**2 + 2 * y**2 + 8 * z**2, (0.75, 0.25)))
  assert made['detail'] == pytest.approx((2 + 4 + 16) / 3 / width)
  noise = np.random.default_rng(0).normal(size=(40, 40, 40))
  made = image_statistics.sharpness(noise, np.ones_like(noise, bool))
  assert made['resolution'] == pytest.approx(0, abs=0.02)
  # Second differences of unit noise have the standard deviation sqrt(6).
  oracle = math.sqrt(6) * stats.norm.ppf(0.75) / (2 * stats.norm.ppf(0.75))
  assert made['detail'] == pytest.approx(oracle, rel=0.02)


def test_sharpness_does_not_see_the_edge_of_the_brain():
  arrays = brain(0)
  mask = arrays['mask'] > 0
  outside = np.where(mask, arrays['image'], 1e4)
  assert of({**arrays, 'image': outside}) == of(arrays)


def test_unevenness_is_that_of_the_medians_of_the_octants():
  values = np.random.default_rng(0).normal(size=FULL.shape)
  values[6:, :, :] += 1
  medians = [
    np.median(values[6 * i : 6 * i + 6, 6 * j : 6 * j + 6, 6 * k : 6 * k + 6])
    for i, j, k in np.ndindex(2, 2, 2)
  ]
  widths = [np.subtract(*np.quantile(v, (0.75, 0.25))) for v in (medians, values)]
  made = image_statistics.unevenness(values, FULL)
  assert made == pytest.approx(widths[0] / widths[1])


def test_complexity_orders_flat_smooth_and_noisy_images():
  rng = np.random.default_rng(0)
  ramp = np.broadcast_to(np.arange(64.0)[:, None], (64, 64))
  noise = rng.normal(size=(64, 64))
  mask = np.ones((64, 64), bool)
  bits = [image_statistics.complexity(x, mask) for x in (ramp, ramp + noise, noise)]
  assert bits[0] < 0.3 < bits[1] < bits[2]
  # 8-bit uniform noise over the whole range cannot be compressed.
  uniform = rng.permuted(np.linspace(-0.5, 0.5, 64 * 64)).reshape(64, 64)
  uniform = np.sign(uniform) * np.abs(uniform) ** 0.3  # wide tails
  assert bits[2] < image_statistics.complexity(uniform, mask) + 3 < 12
  # The same scan in other units has the same bits.
  again = image_statistics.complexity(5 * noise + 2, mask)
  assert again == pytest.approx(bits[2], rel=0.02)


def test_the_centre_changes_its_sign_with_a_flip():
  arrays = brain(0)
  arrays['mask'][:8] = 0
  flipped = SHIFTS['flipped_x']()(arrays, None)
  assert abs(of(arrays)['centre_0']) > 0.02
  assert of(flipped)['centre_0'] == pytest.approx(-of(arrays)['centre_0'])


@pytest.mark.parametrize(
  'shift, name, direction',
  [
    ('noise', 'detail', 1),
    ('noise', 'resolution', -1),
    ('noise', 'complexity', 1),
    ('low_resolution', 'resolution', 1),
    ('low_resolution', 'complexity', -1),
    ('thick_slices', 'sharpness_2', -1),
    ('bias_field', 'unevenness', 1),
    ('other_contrast', 'brightness', -1),
  ],
)
def test_a_statistic_sees_the_shift_that_it_is_named_after(shift, name, direction):
  healthy = [of(brain(seed))[name] for seed in range(8)]
  rng = np.random.default_rng(0)
  shifted = [of(SHIFTS[shift]()(brain(seed), rng))[name] for seed in range(8)]
  assert direction * (np.mean(shifted) - np.mean(healthy)) > np.std(healthy)


def test_diffuse_statistics_move_less_by_a_lesion_than_between_subjects():
  healthy = [of(brain(seed)) for seed in range(16)]
  sick = [of(with_lesion(brain(seed))) for seed in range(16)]
  for name in healthy[0]:
    values = np.array([s[name] for s in healthy])
    moved = np.abs(np.array([s[name] for s in sick]) - values).mean() / values.std()
    if name in statistics.DIFFUSE:
      assert moved < 1, name


def test_slices_have_the_statistics_of_the_slice():
  arrays = brain(0)
  residual = np.abs(arrays['image'] - 0.6)
  outputs = {'elbo': np.arange(24.0), 'latent': np.zeros((24, 3))}
  made = statistics.of_slices(arrays['image'], arrays['mask'], residual, outputs, 300)
  areas = arrays['mask'].sum((0, 1, 3))
  np.testing.assert_array_equal(made['slice'], np.flatnonzero(areas >= 300))
  z = int(made['slice'][2])
  oracle = statistics.of_scan(
    arrays['image'][:, :, z], arrays['mask'][:, :, z], residual[:, :, z], {'elbo': z}
  )
  assert {name: made[name][2] for name in oracle} == oracle
  assert oracle['elbo'] == pytest.approx(z / areas[z])
  with pytest.raises(ValueError, match='no slice has 5000 brain voxels'):
    statistics.of_slices(arrays['image'], arrays['mask'], least=5000)


def test_all_statistics_are_in_the_vocabulary():
  arrays = brain(0)
  made = statistics.of_scan(
    arrays['image'],
    arrays['mask'],
    np.abs(arrays['image']),
    {name: np.zeros(3) for name in statistics.LIKELIHOODS},
  )
  assert made.keys() == statistics.STATISTICS.keys()
  assert np.isfinite(list(made.values())).all()


def test_a_scan_without_statistics_is_refused():
  arrays = brain(0)
  with pytest.raises(ValueError, match='brain mask that is not empty'):
    of({**arrays, 'mask': 0 * arrays['mask']})
  with pytest.raises(ValueError, match='finite intensities'):
    of({**arrays, 'image': arrays['image'] * np.nan})
