import itertools

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from uad_jax.ops.coreset import k_centre

NOTHING = np.zeros((0, 3))


def points(number=200, seed=0):
  return np.random.default_rng(seed).normal(size=(number, 3))


def test_the_radius_falls_and_is_the_largest_distance_to_the_nearest_centre():
  # Oracle: all distances by scipy.
  x = points()
  chosen, radius = k_centre(x, 40, NOTHING)
  assert len(set(chosen)) == 40 and (np.diff(radius) <= 0).all()
  assert radius[-1] < radius[0] / 3
  for number in (1, 7, 40):
    cover = cdist(x, x[chosen[:number]]).min(1).max()
    assert radius[number - 1] == pytest.approx(cover)


def test_the_radius_is_at_most_twice_that_of_the_best_choice():
  # Oracle: all choices of three of eleven points (bound of Gonzalez 1985).
  for seed in range(20):
    x = points(11, seed)
    distance = cdist(x, x)
    best = min(
      distance[:, list(choice)].min(1).max()
      for choice in itertools.combinations(range(11), 3)
    )
    assert k_centre(x, 3, NOTHING).radius[-1] <= 2 * best + 1e-12


def test_centres_that_are_there_already_count():
  x = points()
  centres = x[:30]
  chosen, radius = k_centre(x, 5, centres)
  assert chosen[0] == cdist(x, centres).min(1).argmax()
  assert radius[-1] == pytest.approx(
    cdist(x, np.concatenate([centres, x[chosen]])).min(1).max()
  )


def test_the_choice_ends_when_all_points_are_within_the_radius():
  x = points()
  chosen, radius = k_centre(x, len(x), NOTHING, 1.0)
  assert radius[-1] <= 1 < radius[-2]
  separation = cdist(x[chosen], x[chosen]) + 9 * np.eye(len(chosen))
  assert separation.min() > 1
  assert len(k_centre(np.repeat(x[:3], 4, 0), 9, NOTHING).chosen) == 3


def test_no_points_and_no_places_are_an_empty_choice():
  assert k_centre(NOTHING, 5, NOTHING).chosen.shape == (0,)
  assert k_centre(points(), 0, NOTHING).chosen.shape == (0,)
  with pytest.raises(ValueError, match='number is -1'):
    k_centre(points(), -1, NOTHING)
