import numpy as np
import pytest

from uad_jax.evaluation import lesionwise


def scene():
  """Lesions of 8, 4 and 1 voxels, the last touching nothing."""
  lesion = np.zeros((12, 12, 3), bool)
  lesion[0:2, 0:4, 0] = True
  lesion[6:8, 6:8, 1] = True
  lesion[11, 11, 2] = True
  return lesion


def test_a_lesion_is_found_from_the_stated_overlap_on():
  lesion = scene()
  lesions = lesionwise.Lesions(lesion, voxel_ml=1.0)
  marked = np.zeros_like(lesion)
  marked[0, 0, 0] = True  # an eighth of the first
  assert lesions.match(marked, overlap=0.125)['found'].tolist() == [True, False, False]
  assert lesions.match(marked, overlap=0.126)['found'].sum() == 0


def test_a_detection_is_correct_from_the_stated_overlap_on():
  lesion = scene()
  marked = np.zeros_like(lesion)
  marked[6:8, 6:8, 1] = True
  marked[8:10, 6:12, 1] = True  # one detection: 4 lesion voxels of 16
  marked[0, 9, 2] = True  # another, far from any lesion
  found = lesionwise.Lesions(lesion, 1.0).match(marked, overlap=0.25)
  assert (found['predictions'], found['correct']) == (2, 1)
  assert lesionwise.Lesions(lesion, 1.0).match(marked, 0.26)['correct'] == 0


def test_nothing_marked_finds_nothing():
  lesions = lesionwise.Lesions(scene(), 1.0)
  found = lesions.match(np.zeros((12, 12, 3), bool))
  assert (found['found'].sum(), found['predictions'], found['correct']) == (0, 0, 0)


def test_corners_connect():
  diagonal = np.eye(4, dtype=bool)[..., None]
  assert lesionwise.components(diagonal)[1] == 1


@pytest.mark.parametrize(
  'voxel_ml, expected',
  [(0.01, [3, 0, 0, 0]), (0.1, [0, 3, 0, 0]), (1.0, [0, 0, 3, 0]), (10, [0, 0, 0, 3])],
)
def test_lesions_fall_into_the_bins_of_their_volume(voxel_ml, expected):
  lesions = lesionwise.Lesions(scene(), voxel_ml)
  assert lesions.by_size(np.ones(3, bool)).tolist() == expected
