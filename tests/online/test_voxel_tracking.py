import numpy as np
import pytest

from uad_jax.online import voxel_tracking as tracking

SHAPE = (5, 4, 3)


def stream(scans=30, seed=0):
  rng = np.random.default_rng(seed)
  residuals = 3 + 2 * rng.normal(size=(scans, *SHAPE))
  masks = rng.random((scans, *SHAPE))
  masks[:, 0, 0, 0] = 0
  return residuals, masks


def observed(residuals, masks):
  moments = tracking.empty(SHAPE)
  for residual, mask in zip(residuals, masks, strict=True):
    moments = tracking.observe(moments, residual, mask)
  return moments


def test_the_moments_are_those_of_numpy_over_all_scans():
  # Oracle: numpy's mean and variance of the whole stack, in float64.
  residuals, _ = stream()
  moments = observed(residuals, np.ones_like(residuals))
  np.testing.assert_allclose(moments.mean, residuals.mean(0), rtol=1e-5)
  np.testing.assert_allclose(tracking.variance(moments), residuals.var(0), rtol=1e-4)
  np.testing.assert_array_equal(moments.weight, 30)


def test_weighted_moments_are_those_of_numpy_with_weights():
  # Oracle: numpy.average with weights.
  residuals, masks = stream()
  moments = observed(residuals, masks)
  seen = masks.sum(0) > 0
  safe = np.where(seen, masks, 1)
  mean = np.average(residuals, axis=0, weights=safe)
  variance = np.average((residuals - mean) ** 2, axis=0, weights=safe)
  np.testing.assert_allclose(moments.mean[seen], mean[seen], rtol=1e-5)
  np.testing.assert_allclose(
    tracking.variance(moments)[seen], variance[seen], rtol=1e-4
  )
  assert moments.mean[0, 0, 0] == moments.square[0, 0, 0] == 0


def test_the_exponential_moments_of_a_constant_stream_have_their_closed_form():
  # With d = mean_0 - c: mean_t = c + (1-a)^t d and
  # variance_t = (1-a)^t (variance_0 + d^2 (1 - (1-a)^t)).
  a, c, steps = 0.1, 2.0, 25
  mean, variance = 5.0, 4.0
  moments = tracking.ExponentialMoments(
    np.full(SHAPE, mean, np.float32), np.full(SHAPE, variance, np.float32)
  )
  for _ in range(steps):
    moments = tracking.observe_exponential(
      moments, np.full(SHAPE, c), np.ones(SHAPE), a
    )
  kept = (1 - a) ** steps
  np.testing.assert_allclose(moments.mean, c + kept * (mean - c), rtol=1e-5)
  expected = kept * (variance + (mean - c) ** 2 * (1 - kept))
  np.testing.assert_allclose(moments.variance, expected, rtol=1e-5)


def test_the_exponential_variance_is_that_of_the_weighted_scans():
  # Oracle: weights (1-a)^(T-t) a of each scan and (1-a)^T of the start, in numpy.
  residuals, _ = stream(12)
  a = 0.2
  moments = tracking.ExponentialMoments(*np.zeros((2, *SHAPE), np.float32))
  for residual in residuals:
    moments = tracking.observe_exponential(moments, residual, np.ones(SHAPE), a)
  weights = np.array([(1 - a) ** 12, *(a * (1 - a) ** np.arange(11, -1, -1))])
  stack = np.concatenate([np.zeros((1, *SHAPE)), residuals])
  mean = np.average(stack, axis=0, weights=weights)
  variance = np.average((stack - mean) ** 2, axis=0, weights=weights)
  np.testing.assert_allclose(moments.mean, mean, rtol=1e-4)
  np.testing.assert_allclose(moments.variance, variance, rtol=1e-4)


def test_voxels_outside_of_the_brain_mask_keep_their_exponential_moments():
  start = tracking.ExponentialMoments(*np.ones((2, *SHAPE), np.float32))
  mask = np.ones(SHAPE)
  mask[0] = 0
  moments = tracking.observe_exponential(start, np.full(SHAPE, 9.0), mask, 0.5)
  assert (moments.mean[0] == 1).all() and (moments.mean[1:] == 5).all()


def test_the_start_keeps_healthy_moments_and_has_the_weight_of_the_pseudo_count():
  residuals, masks = stream()
  masks = (masks > 0.3).astype(float)
  masks[:, 0, 0, 0] = 0
  healthy = observed(residuals, masks)
  start = tracking.start(healthy, 8)
  covered = healthy.weight > 0
  np.testing.assert_array_equal(start.weight, 8)
  np.testing.assert_array_equal(start.mean[covered], healthy.mean[covered])
  np.testing.assert_allclose(
    tracking.variance(start)[covered], tracking.variance(healthy)[covered], rtol=1e-5
  )
  # Law of total variance over the covered voxels.
  mean, variance = healthy.mean[covered], tracking.variance(healthy)[covered]
  assert start.mean[0, 0, 0] == pytest.approx(mean.mean(), rel=1e-5)
  total = variance.mean() + mean.var()
  assert tracking.variance(start)[0, 0, 0] == pytest.approx(total, rel=1e-5)
  # A scan moves the mean by 1 / 9 of its distance.
  moved = tracking.observe(start, start.mean + 9, np.ones(SHAPE))
  np.testing.assert_allclose(moved.mean - start.mean, 1, rtol=1e-5)


def test_a_recurring_residual_is_learned_and_a_lesion_seen_once_is_not():
  rng = np.random.default_rng(3)
  healthy = observed(rng.normal(size=(20, *SHAPE)), np.ones((20, *SHAPE)))
  moments = tracking.exponential(tracking.start(healthy, 20))
  for scan in range(60):
    residual = rng.normal(size=SHAPE)
    residual[1, 1, 1] += 8  # an artefact in every scan
    residual[3, 2, 1] += 8 * (scan == 30)  # one lesion
    moments = tracking.observe_exponential(moments, residual, np.ones(SHAPE), 0.05)
  scan = np.zeros(SHAPE)
  scan[1, 1, 1] = scan[3, 2, 1] = 8
  z = tracking.standardise(scan, moments.mean, moments.variance, 1e-3)
  assert abs(z[1, 1, 1]) < 1.5 and z[3, 2, 1] > 4


def test_the_anchored_moments_are_those_of_the_mixture():
  # Oracle: moments of a sample of which a quarter comes from the reference.
  reference, stream_values = np.array([1.0, 3.0]), np.array([5.0, 6.0, 7.0] * 2)
  pair = [
    tracking.ExponentialMoments(np.float32([v.mean()]), np.float32([v.var()]))
    for v in (reference, stream_values)
  ]
  mixed = tracking.anchored(*pair, 0.25)
  sample = np.concatenate([reference, stream_values])
  np.testing.assert_allclose(mixed.mean, sample.mean(), rtol=1e-6)
  np.testing.assert_allclose(mixed.variance, sample.var(), rtol=1e-6)
  free = tracking.anchored(*pair, 0)
  assert free.mean == pair[1].mean and free.variance == pair[1].variance


def test_a_replay_from_a_file_is_bitwise_equal(tmp_path):
  residuals, masks = stream(10)
  half = observed(residuals[:5], masks[:5])
  np.savez(tmp_path / 'state.npz', **half._asdict())
  with np.load(tmp_path / 'state.npz') as arrays:
    again = tracking.Moments(**arrays)
  for residual, mask in zip(residuals[5:], masks[5:], strict=True):
    again = tracking.observe(again, residual, mask)
  for a, b in zip(again, observed(residuals, masks), strict=True):
    assert a.dtype == b.dtype and (a == b).all()


@pytest.mark.parametrize(
  ('residual', 'mask', 'message'),
  [
    (np.zeros((4, 4, 3)), np.ones(SHAPE), r'residual has shape \(4, 4, 3\)'),
    (np.full(SHAPE, np.nan), np.ones(SHAPE), '60 of 60 values are NaN'),
    (np.zeros(SHAPE), np.ones((5, 4)), r'mask has shape \(5, 4\)'),
    (np.zeros(SHAPE), np.full(SHAPE, -1.0), 'mask has a weight of -1'),
  ],
)
def test_scans_of_another_grid_or_with_nan_are_refused(residual, mask, message):
  with pytest.raises(ValueError, match=message):
    tracking.observe(tracking.empty(SHAPE), residual, mask)
  moments = tracking.exponential(tracking.empty(SHAPE))
  with pytest.raises(ValueError, match=message):
    tracking.observe_exponential(moments, residual, mask, 0.1)


def test_constants_out_of_range_are_refused():
  moments = tracking.empty(SHAPE)
  with pytest.raises(ValueError, match='no voxel was observed'):
    tracking.start(moments, 5)
  with pytest.raises(ValueError, match='pseudo_count is 0'):
    tracking.start(moments, 0)
  with pytest.raises(ValueError, match='rate is 0'):
    tracking.observe_exponential(
      tracking.exponential(moments), np.zeros(SHAPE), np.ones(SHAPE), 0
    )
  with pytest.raises(ValueError, match='allowed are 0 to 1'):
    tracking.observe_exponential(
      tracking.exponential(moments), np.zeros(SHAPE), np.full(SHAPE, 2.0), 0.1
    )
  with pytest.raises(ValueError, match='epsilon is 0'):
    tracking.standardise(np.zeros(SHAPE), moments.mean, moments.mean, 0)
