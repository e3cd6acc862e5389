"""Voxelwise moments by slice height."""

import numpy as np
import pytest

from uad_jax.ops import voxel_stats


def filled(values, positions, bins, weight=None):
  weight = np.ones(len(values), np.float32) if weight is None else weight
  empty = voxel_stats.empty(bins, values.shape[1:-1], values.shape[-1])
  half = len(values) // 2
  seen = voxel_stats.observe(empty, values[:half], positions[:half], weight[:half])
  return voxel_stats.observe(seen, values[half:], positions[half:], weight[half:])


def test_one_bin_gives_the_mean_and_variance_of_all():
  values = np.random.default_rng(0).normal(2, 3, (40, 5, 6, 2)).astype(np.float32)
  seen = filled(values, np.zeros(40, np.float32), 1)
  mean, variance = voxel_stats.look_up(seen, np.zeros(1, np.float32), smooth=0)
  np.testing.assert_allclose(mean[0], values.mean(0), rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(variance[0], values.var(0), rtol=1e-4)


def test_heights_are_kept_apart_and_interpolated():
  positions = np.repeat(np.float32([0.0, 0.5, 1.0]), 4)
  values = np.broadcast_to(positions[:, None, None, None], (12, 3, 3, 1))
  seen = filled(values, positions, 3)
  asked = np.float32([0.0, 0.25, 0.5, 1.0])
  mean, variance = voxel_stats.look_up(seen, asked, smooth=0)
  np.testing.assert_allclose(mean[:, 0, 0, 0], asked, atol=1e-6)
  # Between two heights their difference counts as variance.
  np.testing.assert_allclose(variance[:, 0, 0, 0], [0, 0.0625, 0, 0], atol=1e-6)


def test_padding_and_heights_never_seen_do_not_count():
  positions = np.float32([0.0, 0.0, 1.0, 1.0])
  values = np.float32([1, 1, 3, 100]).reshape(4, 1, 1, 1)
  seen = filled(values, positions, 5, np.float32([1, 1, 1, 0]))
  mean, _ = voxel_stats.look_up(seen, np.float32([0.2, 0.9]), smooth=0)
  assert mean[0, 0, 0, 0] == pytest.approx(1) and mean[1, 0, 0, 0] == pytest.approx(3)


def test_a_slice_beyond_all_heights_gets_the_moments_of_the_nearest():
  # Without, its mean and variance were 0, and its scores without bound.
  random = np.random.default_rng(2)
  values = random.normal(2, 1, (12, 3, 3, 1)).astype(np.float32)
  seen = filled(values, np.repeat(np.float32([0.25, 0.5]), 6), 5)
  asked = np.float32([0.0, 0.2, 0.25, 0.5, 0.6, 0.9, 1.0])
  mean, variance = voxel_stats.look_up(seen, asked, smooth=0)
  for found, of in ((mean, np.mean), (variance, np.var)):
    low, high = of(values[:6], axis=0), of(values[6:], axis=0)
    np.testing.assert_allclose(found[:3], np.stack([low] * 3), rtol=1e-4)
    np.testing.assert_allclose(found[3:], np.stack([high] * 4), rtol=1e-4)
