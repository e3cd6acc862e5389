"""Oracles: scikit-learn's AUROC, also on each bootstrap resample formed by copies."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from uad_jax.domain_shift.confusion import COMPARISONS, GROUPS, Group, auroc, confusion


def group(rng, count, mean, prefix, slices=1):
  subjects = np.repeat([f'{prefix}{i}' for i in range(count)], slices)
  noise = np.repeat(rng.normal(size=count), slices) + rng.normal(size=count * slices)
  return Group(np.round(mean + noise, 1), subjects)  # rounded: with ties


def oracle(negatives, positives):
  labels = np.repeat([0, 1], [len(negatives.scores), len(positives.scores)])
  return roc_auc_score(labels, np.concatenate([negatives.scores, positives.scores]))


def test_auroc_is_that_of_scikit_learn():
  rng = np.random.default_rng(0)
  negatives, positives = group(rng, 20, 0, 'a'), group(rng, 12, 1, 'b')
  made = auroc(negatives, positives, 200)
  assert made.value == pytest.approx(oracle(negatives, positives))
  assert made.low < made.value < made.high
  assert auroc(positives, negatives, 10).value == pytest.approx(1 - made.value)


def test_the_interval_resamples_subjects_with_all_their_slices():
  rng = np.random.default_rng(0)
  negatives, positives = group(rng, 9, 0, 'a', 4), group(rng, 8, 1, 'b', 4)
  made = auroc(negatives, positives, 2000)

  def drawn(one, rng):
    names = np.unique(one.subjects)
    rows = [np.flatnonzero(one.subjects == s) for s in rng.choice(names, len(names))]
    return Group(one.scores[np.concatenate(rows)], None)

  again = [oracle(drawn(negatives, rng), drawn(positives, rng)) for _ in range(400)]
  low, high = np.percentile(again, [2.5, 97.5])
  assert made.low == pytest.approx(low, abs=0.04)
  assert made.high == pytest.approx(high, abs=0.04)


def test_a_subject_in_both_groups_keeps_its_scans_together():
  # Each lesion scan scores 1 above its twin, whose scores are far apart: the value over
  # resamples of pairs is at least 1/2, over independent draws it often is not.
  twins = Group(np.arange(0, 30, 3.0), np.array([f's{i}' for i in range(10)]))
  sick = Group(twins.scores + 1, twins.subjects)
  made = auroc(twins, sick, 500)
  assert made.value == pytest.approx(0.55)
  assert made.low >= 0.5


def test_confusion_has_the_comparisons_whose_groups_there_are():
  rng = np.random.default_rng(0)
  means = dict(zip(GROUPS, (0, 2, 2, 4), strict=True))
  groups = {name: group(rng, 15, mean, name) for name, mean in means.items()}
  made = confusion(groups, 50)
  for name, (low, high) in COMPARISONS.items():
    assert made[name].value == pytest.approx(oracle(groups[low], groups[high]))
  # The blind spot: healthy scans of the target score as lesions of the source do.
  assert made['shift against lesion'].value == pytest.approx(0.5, abs=0.2)
  del groups['lesion target']
  assert 'lesion in target' not in confusion(groups, 5)


def test_scores_that_cannot_be_ranked_are_refused():
  good = Group(np.zeros(2), np.array(['a', 'b']))
  empty = Group(np.zeros(0), np.zeros(0, '<U1'))
  assert np.isnan(auroc(good, empty)).all()
  with pytest.raises(ValueError, match='1 of 2 scores are not finite'):
    auroc(good, Group(np.array([0, np.nan]), good.subjects))
  with pytest.raises(ValueError, match='3 scores and 2 subjects'):
    auroc(Group(np.zeros(3), good.subjects), good)
  with pytest.raises(ValueError, match="unknown group of scans 'target'"):
    confusion({'target': good})
