import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.metrics import average_precision_score

from tests.online.synthetic_stream import BRAIN, SHAPE, ball, begin, maps_of
from uad_jax.online import shadow_lesions as sl


def test_centres_cover_the_brain_and_scans_take_turns():
  rng = np.random.default_rng(0)
  centres = sl.centres_of(BRAIN, 4, 6, rng)
  assert centres.shape == (4, 6, 3) and BRAIN[tuple(centres.reshape(-1, 3).T)].all()
  # Random voxels lie much closer together.
  voxels = np.argwhere(BRAIN)
  chance = [pdist(voxels[rng.permutation(len(voxels))[:24]]).min() for _ in range(50)]
  assert pdist(centres.reshape(-1, 3)).min() > max(chance)
  with pytest.raises(ValueError, match='share 24 brain voxels; allowed are 25'):
    sl.centres_of(np.ones((24, 1), bool), 5, 5, rng)


def test_lesions_are_balls_of_both_signs_in_the_residual():
  maps, _ = maps_of(0)
  centres = np.array([[8, 8, 5], [16, 15, 6]])
  sick, lesion = sl.planted(maps, centres, 2.0, (3.0, 1.5))
  first, second = ball(centres[0], 2.0), ball(centres[1], 2.0)
  np.testing.assert_array_equal(lesion, first | second)
  change = sick.residual - maps.residual
  np.testing.assert_allclose(change, 3.0 * first - 3.0 * second, atol=1e-6)
  np.testing.assert_allclose(sick.anomaly - maps.anomaly, 1.5 * lesion, atol=1e-6)
  assert sick.residual.dtype == sick.anomaly.dtype == np.float32


def test_the_precision_of_the_shadow_test_is_scikit_learns():
  shadows = begin().shadows

  def score(shadow):
    return shadow.anomaly + np.float32(0.1) * shadow.mask

  scores = np.concatenate([score(one)[BRAIN] for one in shadows])
  truth = np.concatenate([one.lesion[BRAIN] for one in shadows])
  # Bins of the histogram are 0.05 % wide.
  expected = average_precision_score(truth, scores)
  assert sl.precision_of(shadows, score) == pytest.approx(expected, abs=1e-3)
  blind = sl.precision_of(shadows, lambda one: np.zeros(SHAPE, np.float32))
  assert blind == pytest.approx(truth.mean())
