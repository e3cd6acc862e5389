"""Oracle: the same numbers from all voxels at once, by scikit-learn and plain numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from sklearn import metrics as sk

from tests.cohort import METHOD, SCORERS, SEEN, SLICES, TEST, batches, infer, run, split
from uad_jax import evaluate as evaluation
from uad_jax.evaluation.bootstrap import paired
from uad_jax.evaluation.lesionwise import Lesions
from uad_jax.evaluation.measure import measure
from uad_jax.evaluation.metrics import POOLED
from uad_jax.evaluation.postprocess import Postprocess, preset


@pytest.fixture(scope='module')
def results():
  return run(jax.random.key(0), selection=batches(split(3, ('ms', 'ms'))))


def voxels(records):
  image, mask, lesion = (
    np.stack([r[k][..., 0] for r in records]) for k in ('image', 'mask', 'lesion')
  )
  inside = mask > 0
  return image[inside].astype(np.float32) - np.float32(0.6), lesion[inside] > 0


def test_pooled_numbers_equal_those_of_all_voxels(results):
  scores, lesion = voxels(split(2, TEST))
  healthy, _ = voxels(split(1, ('none',) * 3))
  for name, values, reference in (
    ('signed', scores, healthy),
    ('absolute', abs(scores), abs(healthy)),
  ):
    found = results.summary['scorers'][name]
    pooled = {metric: e['value'] for metric, e in found['pooled'].items()}
    assert pooled['auprc'] == pytest.approx(
      sk.average_precision_score(lesion, values), abs=1e-3
    )
    assert pooled['auroc'] == pytest.approx(sk.roc_auc_score(lesion, values), abs=1e-3)
    assert pooled['prevalence'] == pytest.approx(lesion.mean())
    calm, _ = voxels([r for r in split(2, TEST) if r['pathology'] == 'none'])
    calm = calm if name == 'signed' else abs(calm)
    for percent in (1, 5, 10):
      threshold = found['thresholds'][str(percent)]
      assert (reference >= threshold).mean() <= percent / 100
      marked = values >= threshold
      assert pooled[f'dice_at_{percent}'] == pytest.approx(sk.f1_score(lesion, marked))
      assert pooled[f'fpr_at_{percent}'] == pytest.approx(marked[~lesion].mean())
      healthy_fpr = (calm >= threshold).mean()
      assert pooled[f'healthy_fpr_at_{percent}'] == pytest.approx(healthy_fpr)
      assert pooled[f'recall_at_{percent}'] == pytest.approx(marked[lesion].mean())


def test_lesions_are_counted_in_the_stack_of_slices(results):
  found = results.summary['scorers']['signed']
  truth = np.stack([r['lesion'][..., 0] for r in split(2, TEST)[4:8]], -1)
  number = ndimage.label(truth, np.ones((3, 3, 3)))[1]
  assert number == 2
  row = next(r for r in results.subjects if r['scan'] == 'sub-21')
  assert row['lesions'] == 2
  assert found['pooled']['lesion_recall_at_5']['value'] == 1
  # 2 x 2 x 2 mm and every other slice: a voxel stands for 16 cubic millimetres.
  assert results.summary['data']['voxel_ml'] == pytest.approx(0.016)
  sizes = {k: v['lesions'] for k, v in found['by_lesion_size'].items()}
  assert sizes == {'<0.1 ml': 3, '0.1-1 ml': 3, '1-10 ml': 0, '>=10 ml': 0}


def test_the_default_map_is_the_best_on_the_selection(results):
  chosen = {
    name: found['selection_auprc'] for name, found in results.summary['scorers'].items()
  }
  scores, lesion = voxels(split(3, ('ms', 'ms')))
  for name, values in (('signed', scores), ('absolute', abs(scores))):
    assert chosen[name] == pytest.approx(
      sk.average_precision_score(lesion, values), abs=1e-3
    )
  assert chosen['signed'] > chosen['absolute']
  assert results.summary['default'] == 'signed'


def test_without_a_selection_the_first_scorer_is_the_default(key):
  summary = run(key).summary
  assert summary['default'] == 'absolute'
  assert summary['default_chosen_on'] == 'first scorer'


def test_the_method_never_sees_the_lesion(results):
  assert SEEN == {'image', 'mask', 'position', 'weight'}


def test_registration_is_measured_against_the_twin(results):
  found = results.summary['registration']
  # The field follows bright voxels: it is larger in a lesion than in the twin.
  assert found['cfe']['value'] > 0.05
  assert found['gate_lesion_recall']['value'] > 0.5
  assert found['ventricle_dice_ceiling']['value'] == 1
  assert found['ventricle_dice']['value'] == 0  # a constant prior has no ventricle
  row = next(r for r in results.subjects if r['scan'] == 'sub-20')
  assert np.isnan(row['cfe'])
  assert row['pathology'] == 'none'


def test_restoration_is_measured_against_the_twin(results):
  found = results.summary['restoration']
  assert found['lesion_copied']['value'] == 0  # the reconstruction is constant
  records = [r for r in split(2, TEST) if r['pathology'] == 'none']
  inside = np.stack([r['mask'] for r in records]) > 0
  error = abs(np.stack([r['image'] for r in records]) - 0.6)[inside].mean()
  rows = [r for r in results.subjects if r['pathology'] == 'none']
  assert np.mean([r['healthy_error'] for r in rows]) == pytest.approx(error, rel=0.05)


def test_cases_show_a_lesion_and_a_healthy_scan(results):
  kinds = [case.kind for case in results.cases]
  assert kinds.count('healthy') == 1
  assert set(kinds) >= {'worst', 'best'}
  for case in results.cases:
    assert case.panels['lesion'].any() == (case.kind != 'healthy')
  order = [case.auprc for case in results.cases if case.kind != 'healthy']
  assert order[0] == min(order)


def test_the_healthy_case_is_the_one_of_highest_score(key):
  calm = split(4, ('none', 'none', 'none'))
  for r in calm[SLICES : 2 * SLICES]:
    r['image'] = r['image'] + 0.2 * r['mask']
  cases = run(key, test=calm, scorers={'signed': SCORERS['signed']}).cases
  assert [case.scan.name for case in cases] == ['sub-41']


def test_by_pathology_looks_at_its_scans_alone(results):
  found = results.summary['scorers']['signed']['by_pathology']
  assert {name: part['scans'] for name, part in found.items()} == {'ms': 2, 'tumour': 1}
  records = [r for r in split(2, TEST) if r['pathology'] == 'ms']
  scores, lesion = voxels(records)
  assert found['ms']['auprc']['value'] == pytest.approx(
    sk.average_precision_score(lesion, scores), abs=1e-3
  )


def test_image_auroc_separates_sick_from_healthy(results):
  rows = [r for r in results.subjects if r['scorer'] == 'signed']
  for name in ('mean', 'q99'):
    expected = sk.roc_auc_score(
      [r['pathology'] != 'none' for r in rows], [r[f'score_{name}'] for r in rows]
    )
    found = results.summary['scorers']['signed']['pooled'][f'image_auroc_{name}']
    assert found['value'] == pytest.approx(expected)


def test_the_difference_of_two_maps_is_paired(results):
  found = results.summary['scorers']['absolute']['minus_default']['auprc']
  a, b = results.samples['absolute'], results.samples['signed']
  again = paired(POOLED['auprc'], a, b, resamples=50, seed=0)
  assert found == {'value': again.value, 'interval': [again.low, again.high]}
  assert found['value'] < 0


def test_batch_size_and_padding_change_nothing(key, results):
  records = split(2, TEST)
  again = evaluation.evaluate(
    METHOD,
    {'level': jnp.float32(0.6)},
    {},
    SCORERS,
    batches(split(1, ('none',) * 3), 5),
    batches(records, 7),
    jax.random.key(0),
    selection=batches(split(3, ('ms', 'ms'))),
    resamples=50,
    progress=False,
  )
  assert again.summary == results.summary


def test_volumes_are_scans_of_their_own(key):
  def volume(records):
    first = dict(records[0])
    for name in ('image', 'twin', 'mask', 'lesion', 'labels'):
      first[name] = np.stack([r[name] for r in records], 2)
    return first | {'slice': -1, 'position': np.float32(0.5)}

  def stacked(records):
    groups = range(0, len(records), SLICES)
    return [volume(records[start : start + SLICES]) for start in groups]

  def solid(params, stats, batch, key):
    given = infer(params, stats, batch, key)
    zero = jnp.zeros_like(given['prior'])
    return given | {'displacement': jnp.concatenate([zero, zero, zero], -1)}

  found = evaluation.evaluate(
    METHOD._replace(infer=solid),
    {'level': jnp.float32(0.6)},
    {},
    SCORERS,
    batches(stacked(split(1, ('none',) * 3)), 2),
    batches(stacked(split(2, TEST)), 2),
    key,
    resamples=10,
    progress=False,
  )
  flat = run(key, resamples=10)
  for name in ('auprc', 'dice_at_5', 'lesion_f1_at_5', 'image_auroc_q99'):
    a, b = (r.summary['scorers']['signed']['pooled'][name] for r in (found, flat))
    assert a == b, name
  assert found.summary['registration']['cfe']['value'] == 0


def test_post_processing_reaches_maps_and_detections(key):
  plain, cleaned = run(key), run(key, postprocess='default')
  assert cleaned.summary['protocol']['postprocess'] == 'default'
  detections = [
    sum(r['predictions_at_10'] for r in found.subjects) for found in (plain, cleaned)
  ]
  assert detections[1] < detections[0]


def test_the_clean_up_of_detections_reaches_all_counts():
  truth = np.zeros((6, 6, 2), bool)
  truth[1:4, 1:4] = True

  def top_rows(binary):
    return binary & (np.indices(binary.shape)[0] < 2)

  chain = Postprocess(preset('none').soft, top_rows)
  found = measure(
    truth.astype(np.float32), np.ones_like(truth), chain, {5: 0.5}, Lesions(truth, 1.0)
  )
  assert found.counts['tp_at_5'] == 6  # the row at 1 of rows 1, 2, 3
  assert found.values['dice_at_5'] == pytest.approx(2 * 6 / (6 + 18))
  assert found.values['oracle_dice'] == 1  # of the map, which has no clean-up


def test_a_map_that_is_not_finite_names_scorer_and_scan(key):
  def broken(infer, batch, key):
    return batch['image'] * jnp.nan

  with pytest.raises(ValueError, match="scorer 'broken' gave scan 'sub-10' a map that"):
    run(key, scorers={'broken': broken})


def test_healthy_test_scans_alone_can_be_evaluated(key):
  found = run(key, test=split(2, ('none', 'none')))
  pooled = found.summary['scorers']['signed']['pooled']
  assert pooled['auprc'] == {'value': None, 'interval': [None, None]}
  assert 0 <= pooled['healthy_fpr_at_5']['value'] < 0.2
  assert [case.kind for case in found.cases] == ['healthy']


def test_nothing_to_evaluate_is_an_error(key):
  with pytest.raises(ValueError, match='at least one scorer'):
    run(key, scorers={})
  with pytest.raises(ValueError, match='the test split is empty'):
    run(key, test=[])
