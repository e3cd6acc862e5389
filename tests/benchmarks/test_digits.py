"""One-class digits: the protocol, a detector on it, and the page of the project."""

import json

import numpy as np
import pytest

from benchmarks import digits
from benchmarks.kept_results import paths
from uad_jax.detectors.catalogue import DETECTORS


def test_the_normal_class_is_split_in_halves_and_others_are_only_tested():
  train, test, other = digits.halves(3, seed=0)
  images, targets = digits.digits()
  assert len(train) + (~other).sum() == (targets == 3).sum()
  assert other.sum() == (targets != 3).sum() and len(test) == len(other)
  assert abs(len(train) - (~other).sum()) <= 1
  flat = {image.tobytes() for image in train}
  assert not flat & {image.tobytes() for image in test[~other]}
  again, changed = digits.halves(3, seed=0)[0], digits.halves(3, seed=1)[0]
  assert np.array_equal(train, again) and not np.array_equal(train, changed)


def test_a_detector_tells_digits_apart():
  train, test, other = digits.halves(0, seed=0)
  scores = digits.by_detector('knn', train, test)
  assert scores[other].mean() > 2 * scores[~other].mean()


def test_every_detector_has_its_published_number_or_a_dash():
  assert set(digits.PUBLISHED) == set(DETECTORS)


def test_the_page_of_the_project_is_what_its_results_render(in_the_project):
  results, page = paths('digits')
  kept = json.loads(results.read_text())
  assert page.read_text() == digits.page(kept)
  rows = [line for line in digits.page(kept).splitlines() if line.startswith('| ')]
  means = [float(row.split('|')[2]) for row in rows[1:]]
  assert means == sorted(means, reverse=True)
  assert means[0] == pytest.approx(1, abs=0.1)
