"""Oracle for the median: numpy over explicit windows."""

import numpy as np
import pytest

from uad_jax.evaluation import postprocess


def scan():
  rng = np.random.default_rng(0)
  mask = np.zeros((9, 9, 5), bool)
  mask[1:8, 1:8] = True
  return rng.normal(size=mask.shape).astype(np.float32), mask


def test_none_changes_no_voxel_of_the_brain():
  scores, mask = scan()
  np.testing.assert_array_equal(
    postprocess.preset('none').soft(scores, mask)[mask], scores[mask]
  )


def test_median_is_that_of_the_window_with_the_outside_at_the_lowest_score():
  scores, mask = scan()
  filled = np.where(mask, scores, scores[mask].min())
  found = postprocess.median(scores, mask)
  for x, y, z in ((4, 4, 2), (1, 1, 1), (7, 3, 3)):
    window = filled[x - 1 : x + 2, y - 1 : y + 2, z - 1 : z + 2]
    assert found[x, y, z] == np.median(window)


def test_median_removes_a_lone_voxel_whatever_is_outside_the_brain():
  mask = scan()[1]
  scores = np.where(mask, -5.0, 100.0).astype(np.float32)
  scores[4, 4, 2] = 50
  assert (postprocess.median(scores, mask)[mask] == -5).all()


def test_erosion_takes_the_rim_out_of_play_in_every_slice():
  scores, mask = scan()
  found = postprocess.erode(scores, mask)
  np.testing.assert_array_equal(found[2:7, 2:7], scores[2:7, 2:7])
  rim = mask.copy()
  rim[2:7, 2:7] = False
  assert (found[rim] == scores[mask].min()).all()


def test_small_parts_go_and_others_stay():
  binary = np.zeros((10, 10, 2), bool)
  binary[0, 0:4, 0] = True
  binary[5, 0:5, 0] = True
  found = postprocess.remove_small(binary, 5)
  assert found.sum() == 5
  assert found[5, 0:5, 0].all()
  assert postprocess.remove_small(np.zeros_like(binary), 5).sum() == 0


@pytest.mark.parametrize('name', postprocess.PRESETS)
def test_presets_neither_invent_scores_nor_detections(name):
  scores, mask = scan()
  chain = postprocess.preset(name)
  soft = chain.soft(scores, mask)
  assert soft.shape == scores.shape
  assert np.isin(soft, scores[mask]).all()
  binary = (scores > 0.5) & mask
  assert not (chain.hard(binary) & ~binary).any()


def test_presets_differ():
  scores, mask = scan()
  soft = {n: chain.soft(scores, mask) for n, chain in postprocess.PRESETS.items()}
  assert not np.array_equal(soft['none'], soft['median'])
  assert not np.array_equal(soft['median'], soft['baur2021'])
  one = np.zeros_like(mask)
  one[4, 4, 2] = True
  kept = {n: chain.hard(one).any() for n, chain in postprocess.PRESETS.items()}
  assert kept == {'none': True, 'median': True, 'default': False, 'baur2021': False}


def test_an_unknown_preset_is_named_with_those_there_are():
  with pytest.raises(ValueError, match="'medain'; there are none, median"):
    postprocess.preset('medain')
