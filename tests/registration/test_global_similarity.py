import numpy as np
import pytest
from scipy import interpolate

from uad_jax.registration.global_similarity import (
  MEASURES,
  correlation,
  mutual_information,
)


def test_voxels_without_weight_have_no_influence():
  a, b, weight = pair()
  weight[:, :4] = 0
  other = np.where(weight == 0, 0.9, a).astype('float32')
  for measure in MEASURES.values():
    np.testing.assert_allclose(
      measure(other, b, weight), measure(a, b, weight), rtol=1e-4
    )
    assert abs(measure(other, b) - measure(a, b)).min() > 0.01


def pair(shape=(9, 8, 7), seed=0):
  rng = np.random.default_rng(seed)
  a = rng.uniform(size=(2, *shape)).astype('float32')
  b = (0.6 * a**2 + 0.4 * rng.uniform(size=a.shape)).astype('float32')
  return a, b, rng.uniform(size=a.shape).astype('float32')


def test_correlation_is_numpys():
  a, b, weight = pair()
  # Oracle: numpy.corrcoef, and numpy.cov with weights.
  want = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True)]
  np.testing.assert_allclose(correlation(a, b), want, rtol=1e-5)
  cov = [
    np.cov(x.ravel(), y.ravel(), aweights=w.ravel())
    for x, y, w in zip(a, b, weight, strict=True)
  ]
  want = [c[0, 1] / np.sqrt(c[0, 0] * c[1, 1]) for c in cov]
  np.testing.assert_allclose(correlation(a, b, weight), want, rtol=1e-5)
  np.testing.assert_allclose(correlation(a, 3 - 2 * a), -1, rtol=1e-5)
  np.testing.assert_array_equal(correlation(a, 0 * a), 0)


def information_oracle(moving, fixed, weight, bins):
  """The definition in float64, voxel by voxel; scipy's cubic B-spline."""
  window = interpolate.BSpline.basis_element([-2, -1, 0, 1, 2], extrapolate=False)
  joint = np.zeros((bins, bins))
  for m, f, w in zip(moving.ravel(), fixed.ravel(), weight.ravel(), strict=True):
    values = np.nan_to_num(window(1 + (bins - 3) * float(m) - np.arange(bins)))
    joint[:, int(1 + (bins - 3) * float(f) + 0.5)] += w * values
  joint /= joint.sum()
  product = np.outer(joint.sum(1), joint.sum(0))
  seen = joint > 0
  return (joint[seen] * np.log(joint[seen] / product[seen])).sum()


@pytest.mark.parametrize('bins', [8, 32])
def test_mutual_information_is_its_definition(bins):
  a, b, weight = pair()
  for w in (weight, None):
    used = np.ones_like(a) if w is None else w
    want = [information_oracle(a[i], b[i], used[i], bins) for i in range(2)]
    got = mutual_information(a, b, w, bins)
    np.testing.assert_allclose(got, want, rtol=1e-3)


def test_mutual_information_of_independent_and_equal_images():
  rng = np.random.default_rng(0)
  a, b = rng.uniform(size=(2, 1, 60_000)).astype('float32')
  independent = mutual_information(a, b)[0]
  # Chance alone gives (bins - 1)^2 / (2 N), Miller 1955.
  assert 0 < independent < 2 * 31**2 / (2 * a.size)
  assert mutual_information(a, a)[0] > 2
  np.testing.assert_allclose(
    mutual_information(1 - a, a),
    mutual_information(a, a),
    rtol=1e-3,
  )
  np.testing.assert_allclose(mutual_information(0 * a, a), 0, atol=1e-5)
