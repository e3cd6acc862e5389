"""Oracle: every resample formed by concatenating voxels and given to scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sk

from uad_jax.evaluation import bootstrap, histogram, sample
from uad_jax.evaluation.metrics import METRICS, POOLED, SUBJECT

SUBJECTS, VOXELS = 12, 600


@pytest.fixture(scope='module')
def voxels():
  rng = np.random.default_rng(0)
  lesion = rng.random((SUBJECTS, VOXELS)) < 0.06
  lesion[:4] = False
  noise = rng.normal(size=(SUBJECTS, VOXELS)) + 0.3 * rng.normal(size=(SUBJECTS, 1))
  return (noise + 1.5 * lesion).astype(np.float32), lesion


def make(scores, lesion, names=None, pathology=None):
  parts = [histogram.histogram(s, y) for s, y in zip(scores, lesion, strict=True)]
  starts = sample.common_bins(histogram.pool(parts))
  healthy, sick = sample.compress(parts, starts)
  marked = scores >= 1.5
  return sample.Sample(
    np.array(names or [f'sub-{i:02d}' for i in range(len(scores))]),
    np.array(pathology or ['ms' if y.any() else 'none' for y in lesion]),
    lesion.any(1),
    histogram.lower_edge(starts),
    healthy,
    sick,
    {
      'tp_at_5': (marked & lesion).sum(1),
      'fp_at_5': (marked & ~lesion).sum(1),
      'positives': lesion.sum(1),
      'negatives': (~lesion).sum(1),
    },
    {
      'score_mean': scores.mean(1),
      'cfe': np.where(lesion.any(1), scores[:, 0], np.nan),
    },
  )


def repeat(drawn, *arrays):
  rows = np.repeat(np.arange(SUBJECTS), drawn.astype(int))
  return [np.concatenate(list(array[rows])) for array in arrays]


@pytest.mark.parametrize(
  'metric, oracle',
  [
    ('auprc', sk.average_precision_score),
    ('auroc', sk.roc_auc_score),
    ('dice_at_5', lambda y, s: sk.f1_score(y, s >= 1.5)),
    ('prevalence', lambda y, s: y.mean()),
  ],
)
def test_each_resample_equals_the_metric_of_the_resampled_voxels(
  voxels, metric, oracle
):
  scores, lesion = voxels
  data = make(scores, lesion)
  drawn = bootstrap.weights(data, 20, seed=3)
  found = POOLED[metric](bootstrap.Resampled(data, drawn))
  expected = [oracle(*repeat(row, lesion, scores)) for row in drawn]
  np.testing.assert_allclose(found, expected, atol=2e-3)


def test_image_auroc_of_a_resample_equals_scikit_learn(voxels):
  data = make(*voxels)
  drawn = bootstrap.weights(data, 20, seed=1)
  found = POOLED['image_auroc_mean'](bootstrap.Resampled(data, drawn))
  expected = [
    sk.roc_auc_score(data.diseased, data.values['score_mean'], sample_weight=row)
    for row in drawn
  ]
  np.testing.assert_allclose(found, expected, atol=1e-12)


def test_means_leave_out_the_scans_without_a_value(voxels):
  data = make(*voxels)
  sick = data.values['cfe'][data.diseased]
  assert METRICS['cfe'](bootstrap.whole(data))[0] == pytest.approx(sick.mean())


def test_weights_keep_both_strata_and_scans_of_a_subject_together(voxels):
  names = [f'sub-{i // 2}' for i in range(SUBJECTS)]
  data = make(*voxels, names=names)
  drawn = bootstrap.weights(data, 500, seed=0)
  np.testing.assert_array_equal(drawn[:, ::2], drawn[:, 1::2])
  np.testing.assert_array_equal(drawn[:, data.diseased].sum(1), data.diseased.sum())
  np.testing.assert_allclose(drawn.mean(0), 1, atol=0.2)


def test_the_interval_is_that_of_the_percentiles_and_covers_the_estimate(voxels):
  data = make(*voxels)
  drawn = bootstrap.weights(data, 2000, seed=0)
  found = bootstrap.estimated(POOLED, data, drawn).interval('auprc')
  draws = POOLED['auprc'](bootstrap.Resampled(data, drawn))
  assert found[1:] == pytest.approx(tuple(np.percentile(draws, [2.5, 97.5])))
  assert found.low < found.value < found.high


def test_a_paired_difference_ignores_what_both_maps_share(voxels):
  scores, lesion = voxels
  a = make(scores + 0.05 * lesion, lesion)
  b = make(scores, lesion)
  difference = bootstrap.paired(POOLED['auprc'], a, b)
  drawn = bootstrap.weights(a, 2000, 0)
  alone = bootstrap.estimated(POOLED, a, drawn).interval('auprc')
  assert 0 < difference.low < difference.value < difference.high
  assert difference.high - difference.low < 0.3 * (alone.high - alone.low)


def test_paired_does_not_depend_on_the_order_of_the_subjects(voxels):
  scores, lesion = voxels
  a, b = make(scores, lesion), make(np.round(scores), lesion)
  turned = sample.restrict(b, np.arange(SUBJECTS)[::-1])
  metric = POOLED['auprc']
  assert bootstrap.paired(metric, a, b) == bootstrap.paired(metric, a, turned)
  assert bootstrap.paired(metric, a, a) == (0, 0, 0)


def test_metrics_without_their_values_are_left_out_and_exact_ones_kept(voxels):
  data = make(*voxels)
  drawn = bootstrap.weights(data, 10, seed=0)
  found = bootstrap.estimated(METRICS, data, drawn, {'auprc': 0.25})
  assert {'auprc', 'cfe', 'dice_at_5'} <= set(found.values)
  assert not {'dlr', 'image_auroc_q99', 'lesion_f1_at_5'} & set(found.values)
  assert found.values['auprc'] == found.interval('auprc').value == 0.25
  assert all(len(draws) == 10 for draws in found.draws.values())


def test_other_subjects_or_other_lesions_cannot_be_paired(voxels):
  scores, lesion = voxels
  a = make(scores, lesion)
  other = make(scores, lesion, names=[f'x{i}' for i in range(SUBJECTS)])
  with pytest.raises(ValueError, match='same test subjects'):
    bootstrap.paired(POOLED['auprc'], a, other)
  with pytest.raises(ValueError, match='lesion voxels of sub-04 differ'):
    changed = lesion.copy()
    changed[4, :50] = True
    bootstrap.paired(POOLED['auprc'], a, make(scores, changed))


def test_bins_lose_less_than_a_thousandth():
  rng = np.random.default_rng(5)
  lesion = rng.random((3, 200_000)) < 0.005
  scores = (
    rng.gamma(2, 1, lesion.shape) + 2 * lesion * rng.random(lesion.shape)
  ).astype(np.float32)
  whole = histogram.pool([histogram.histogram(scores, lesion)])
  data = make(scores, lesion)
  assert data.edges.size < 2 * sample.BINS
  exact = histogram.ranking(whole.healthy, whole.lesion)
  for name, value in exact._asdict().items():
    assert POOLED[name](bootstrap.whole(data))[0] == pytest.approx(value, abs=1e-3)


def test_a_saved_sample_comes_back_and_a_damaged_file_is_named(voxels, tmp_path):
  data = make(*voxels)
  path = tmp_path / 'evaluation.npz'
  np.savez_compressed(path, **sample.pack({'residual': data, 'a/b': data}))
  back = sample.load(path)
  assert list(back) == ['residual', 'a/b']
  for field in ('subjects', 'pathology', 'diseased', 'edges', 'healthy', 'lesion'):
    np.testing.assert_array_equal(
      getattr(back['residual'], field), getattr(data, field), err_msg=field
    )
  assert bootstrap.paired(POOLED['auprc'], back['a/b'], data) == (0, 0, 0)
  path.write_bytes(path.read_bytes()[:-200])
  with pytest.raises(ValueError, match='evaluation.npz is not a readable'):
    sample.load(path)


def test_every_metric_has_a_name_of_its_own():
  assert not set(POOLED) & {f'subject_{name}' for name in SUBJECT}
  assert {'auprc', 'subject_auprc', 'ventricle_dice', 'cfe'} <= set(METRICS)
