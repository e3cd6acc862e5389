import numpy as np
import pytest
from scipy import ndimage

from tests.online.synthetic_stream import BRAIN, SETTINGS, healthy
from uad_jax.online import healthy_reference as hr
from uad_jax.online.voxel_tracking import variance


def test_moments_without_a_scan_are_those_of_the_others():
  maps = healthy(12)
  rng = np.random.default_rng(0)
  some = [one._replace(mask=one.mask * (rng.random(BRAIN.shape) < 0.8)) for one in maps]
  rest = hr.without(hr.moments_of(some), some[3])
  expected = hr.moments_of(some[:3] + some[4:])
  np.testing.assert_array_equal(rest.weight, expected.weight)
  np.testing.assert_allclose(rest.mean, expected.mean, atol=2e-6)
  np.testing.assert_allclose(variance(rest), variance(expected), atol=1e-5)


def test_scores_of_healthy_scans_leave_each_scan_out():
  maps, settings = healthy(14), SETTINGS
  start = hr.measure(maps, settings)
  reference, anomalies = start.reference, np.stack([one.anomaly for one in maps])
  # Oracle: numpy's moments over the other scans, without those of the shadow test.
  cleaned = []
  for number in range(14):
    others = [k for k in range(settings.shadow_scans, 14) if k != number]
    mean, var = anomalies[others].mean(0), anomalies[others].var(0)
    cleaned.append((anomalies[number] - mean) / np.sqrt(var + reference.epsilon))
  spread = anomalies[settings.shadow_scans :].var(0)[BRAIN].mean()
  assert reference.epsilon == pytest.approx(settings.floor * spread, rel=1e-5)
  pooled = np.stack(cleaned)[:, BRAIN]
  assert reference.threshold == pytest.approx(np.quantile(pooled, 0.98), abs=1e-4)
  assert reference.base == pytest.approx(np.median(pooled), abs=1e-4)
  for one, score in zip(cleaned, start.calibration.scores, strict=True):
    above = (one >= reference.threshold) & BRAIN
    labels, count = ndimage.label(above, np.ones((3, 3, 3)))
    masses = ndimage.sum(one - reference.threshold, labels, range(1, count + 1))
    assert score == pytest.approx(max(masses), abs=1e-2)


def test_descriptors_of_the_healthy_source_are_standard():
  maps = healthy(14)
  start = hr.measure(maps, SETTINGS)
  descriptions = [hr.describe(one, start.reference, SETTINGS) for one in maps]
  cells = np.concatenate([one.cells[one.observed] for one in descriptions])
  np.testing.assert_allclose(cells.mean(0), 0, atol=1e-3)
  np.testing.assert_allclose(cells.std(0), 1, atol=1e-3)
  parts = np.concatenate([one.vectors[:, 3:] for one in descriptions])
  np.testing.assert_allclose(parts.mean(0), 0, atol=1e-3)
  raw = np.concatenate([one.anomaly[BRAIN] for one in maps])
  assert np.mean(raw >= start.reference.described_at) == pytest.approx(0.02, abs=1e-4)


def test_patterns_come_from_the_scans_beside_the_shadow_test():
  maps = healthy(14)
  start = hr.measure(maps, SETTINGS)
  whole = start.patterns.background.votes.sum(-1)
  assert whole.max() == 14 - SETTINGS.shadow_scans
  memory = start.patterns.memory
  assert memory.frozen.sum() == memory.filled.sum() > 20
  assert len(start.shadows) == 4
  for shadow, one in zip(start.shadows, maps, strict=False):
    outside = ~shadow.lesion
    assert (shadow.anomaly[outside] == one.anomaly[outside]).all()
    height = (
      SETTINGS.shadow_height * np.stack([m.anomaly for m in maps[:4]])[:, BRAIN].std()
    )
    added = (shadow.anomaly - one.anomaly)[shadow.lesion]
    np.testing.assert_allclose(added, height, rtol=1e-4)


def test_pictures_of_two_axes_make_a_stream():
  flat = [type(one)(*(values[:, :, 5] for values in one)) for one in healthy(14)]
  start = hr.measure(flat, SETTINGS)
  assert start.patterns.background.weight.shape == (8, 8, 3)
  assert start.calibration.spot is not None and len(start.calibration.scores) == 14
