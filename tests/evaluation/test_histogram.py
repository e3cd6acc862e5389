"""Oracles: average_precision_score, roc_auc_score and others of scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sk

from uad_jax.evaluation import histogram


def rng(seed=0):
  return np.random.default_rng(seed)


def draw(kind: str):
  """Scores and lesion labels, 40 000 voxels with a prevalence of 3 %."""
  lesion = rng(1).random(40_000) < 0.03
  scores = rng(2).gamma(2.0, 1.0, lesion.size) + lesion * rng(3).gamma(
    1, 1, lesion.size
  )
  return {
    'positive': scores,
    'tiny': scores * 1e-30,
    'huge': scores * 1e30,
    'negative': -1 / (0.1 + scores),
    'both signs': scores - 2,
    'ties': np.round(scores),
    'two values': (scores > 2).astype(float),
    'constant': np.full(lesion.size, -0.7),
    'offset': 100 + scores,
  }[kind].astype(np.float32), lesion


KINDS = (
  'positive',
  'tiny',
  'huge',
  'negative',
  'both signs',
  'ties',
  'two values',
  'constant',
  'offset',
)


@pytest.mark.parametrize('kind', KINDS)
def test_curves_agree_with_scikit_learn(kind):
  scores, lesion = draw(kind)
  found = histogram.histogram(scores, lesion)
  counts = found.healthy, found.lesion
  precision, recall, _ = sk.precision_recall_curve(lesion, scores)
  with np.errstate(invalid='ignore'):
    dice = np.nan_to_num(2 * precision * recall / (precision + recall)).max()
  assert histogram.ranking(*counts).auprc == pytest.approx(
    sk.average_precision_score(lesion, scores), abs=1e-3
  )
  assert histogram.ranking(*counts).auroc == pytest.approx(
    sk.roc_auc_score(lesion, scores), abs=1e-3
  )
  assert histogram.ranking(*counts).oracle_dice == pytest.approx(dice, abs=1e-3)


@pytest.mark.parametrize('kind', KINDS)
def test_ties_are_treated_as_scikit_learn_treats_the_binned_scores(kind):
  scores, lesion = draw(kind)
  found = histogram.histogram(scores, lesion)
  binned = histogram.lower_edge(histogram.encode(scores))
  assert histogram.ranking(found.healthy, found.lesion).auprc == pytest.approx(
    sk.average_precision_score(lesion, binned), abs=1e-12
  )
  assert histogram.ranking(found.healthy, found.lesion).auroc == pytest.approx(
    sk.roc_auc_score(lesion, binned), abs=1e-12
  )


def test_a_constant_map_scores_the_prevalence():
  lesion = np.arange(1000) < 30
  found = histogram.histogram(np.zeros(1000, np.float32), lesion)
  average = histogram.ranking(found.healthy, found.lesion).auprc
  assert average == pytest.approx(0.03, abs=1e-12)
  assert histogram.ranking(found.healthy, found.lesion).auroc == 0.5


def test_bins_keep_the_order_of_all_floats():
  largest = np.finfo(np.float32).max
  magnitudes = np.geomspace(1e-38, largest, 5000, dtype=np.float64)
  scores = np.concatenate([-magnitudes[::-1], [-0.0, 0.0], magnitudes]).astype('f4')
  codes = histogram.encode(scores).astype(np.int64)
  assert (np.diff(codes) >= 0).all()
  assert codes.min() >= 0
  assert codes.max() < 1 << histogram.BITS
  assert histogram.encode(np.float32(-0.0)) == histogram.encode(np.float32(0.0))


def test_a_threshold_is_reached_exactly_by_the_bins_from_it_up():
  scores = rng().normal(size=20_000).astype(np.float32)
  codes = histogram.encode(scores)
  for code in np.unique(codes)[::500]:
    np.testing.assert_array_equal(scores >= histogram.lower_edge(code), codes >= code)


def test_a_bin_is_narrower_than_a_two_thousandth_of_its_value():
  scores = rng().normal(size=20_000).astype(np.float32)
  codes = histogram.encode(scores)
  width = histogram.lower_edge(codes + 1) - histogram.lower_edge(codes)
  assert (width <= np.abs(scores) / 2000).all()


@pytest.mark.parametrize('percent', [1, 5, 10])
def test_no_more_healthy_voxels_reach_the_threshold_than_allowed(percent):
  scores, lesion = draw('both signs')
  found = histogram.histogram(scores, lesion)
  threshold = histogram.threshold_at(found, percent / 100)
  share = (scores[~lesion] >= threshold).mean()
  assert 0.95 * percent / 100 < share <= percent / 100


def test_a_constant_map_gets_a_threshold_that_no_voxel_reaches():
  scores = np.full(100, 0.3, np.float32)
  found = histogram.histogram(scores, np.zeros(100))
  assert histogram.threshold_at(found, 0.05) > scores.max()


def test_a_threshold_without_healthy_voxels_is_an_error():
  with pytest.raises(ValueError, match='needs healthy voxels'):
    histogram.threshold_at(histogram.histogram(np.ones(3), np.ones(3)), 0.05)


def test_parts_pool_to_the_whole_and_chunks_do_not_matter(monkeypatch):
  scores, lesion = draw('both signs')
  whole = histogram.histogram(scores, lesion)
  monkeypatch.setattr(histogram, '_CHUNK', 777)
  halves = [
    histogram.histogram(scores[part], lesion[part])
    for part in (slice(0, 9000), slice(9000, None))
  ]
  for a, b in zip(histogram.pool(halves), whole, strict=True):
    np.testing.assert_array_equal(a, b)


def test_memory_follows_occupied_bins_and_not_voxels():
  few = histogram.histogram(np.tile(np.float32([1, 2, 3]), 10_000), np.zeros(30_000))
  assert few.codes.size == 3
  assert few.healthy.tolist() == [10_000] * 3


def test_scores_that_are_not_finite_are_an_error():
  with pytest.raises(ValueError, match='1 of 3 anomaly scores are not finite'):
    histogram.histogram(np.float32([1, np.nan, 2]), np.zeros(3))


def test_without_lesions_the_curves_are_undefined():
  found = histogram.histogram(np.arange(9, dtype=np.float32), np.zeros(9))
  counts = found.healthy, found.lesion
  assert np.isnan(histogram.ranking(*counts).auprc)
  assert np.isnan(histogram.ranking(*counts).auroc)
  assert np.isnan(histogram.ranking(*counts).oracle_dice)


def test_monotone_maps_change_nothing():
  scores, lesion = draw('positive')
  a = histogram.histogram(scores, lesion)
  b = histogram.histogram(np.log(scores), lesion)
  assert histogram.ranking(*a[1:]).auroc == pytest.approx(
    histogram.ranking(*b[1:]).auroc, abs=1e-4
  )
