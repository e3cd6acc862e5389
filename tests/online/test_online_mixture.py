import numpy as np
import pytest
from scipy import stats
from sklearn.mixture import GaussianMixture

from uad_jax.online import online_mixture as online

TRUE = online.Mixture(
  np.array([0.5, 0.3, 0.2]),
  np.array([[0.0, 0.0, 0.0], [4.0, -3.0, 1.0], [-3.0, 4.0, 2.0]]),
  np.array([[1.0, 0.5, 2.0], [0.5, 1.0, 0.3], [1.5, 0.7, 0.6]]),
)


def draw(number, rng):
  component = rng.choice(3, number, p=TRUE.weight)
  noise = rng.normal(size=(number, 3))
  return TRUE.mean[component] + noise * np.sqrt(TRUE.variance[component])


def learned(scans, rule, rng, per_scan=40):
  state = online.begin(draw(200, rng), 3, rng, step=5)
  for _ in range(scans):
    state = online.update(state, draw(per_scan, rng), rule)
  return state


def test_the_log_density_is_that_of_scipy():
  # Oracle: scipy's multivariate normal with diagonal covariances.
  x = draw(50, np.random.default_rng(0))
  density = sum(
    w * stats.multivariate_normal(m, np.diag(v)).pdf(x)
    for w, m, v in zip(*TRUE, strict=True)
  )
  np.testing.assert_allclose(online.log_density(TRUE, x), np.log(density), rtol=1e-9)


@pytest.mark.parametrize('seed', [0, 1])
def test_online_em_comes_near_batch_em_on_a_stationary_stream(seed):
  # Oracle: scikit-learn's batch EM on as many vectors; mean log-likelihood of others.
  rng = np.random.default_rng(seed)
  rule = online.Rule(kappa=0.6, average_after=100)
  state = learned(300, rule, rng)
  batch = GaussianMixture(3, covariance_type='diag', random_state=0, n_init=3)
  batch.fit(draw(300 * 40, rng))
  test = draw(5000, rng)
  best = batch.score(test)
  mean = online.log_density(online.averaged(state), test).mean()
  assert abs(mean - best) < 0.01
  newest = online.log_density(online.current(state, rule), test).mean()
  assert abs(newest - best) < 0.05
  assert state.averaged == 205  # steps 101 to 305
  order = np.argsort(-online.averaged(state).weight)
  np.testing.assert_allclose(
    online.averaged(state).weight[order], TRUE.weight, atol=0.03
  )


def test_one_step_with_a_step_size_of_one_is_a_step_of_batch_em():
  # Oracle: E- and M-step written with scipy's densities.
  rng = np.random.default_rng(4)
  state = online.begin(draw(60, rng), 3, rng)._replace(step=np.int64(0))
  rule, x = online.Rule(kappa=1.0), draw(500, rng)
  start = online.current(state, rule)
  joint = np.stack(
    [
      w * stats.multivariate_normal(m, np.diag(v)).pdf(x)
      for w, m, v in zip(*start, strict=True)
    ],
    1,
  )
  r = joint / joint.sum(1, keepdims=True)
  mean = r.T @ x / r.sum(0)[:, None]
  variance = np.stack([r[:, k] @ (x - mean[k]) ** 2 / r[:, k].sum() for k in range(3)])
  moved = online.current(online.update(state, x, rule), rule)
  np.testing.assert_allclose(moved.weight, r.mean(0), rtol=1e-9)
  np.testing.assert_allclose(moved.mean, mean, rtol=1e-7, atol=1e-9)
  np.testing.assert_allclose(moved.variance, variance, rtol=1e-7)


def test_the_average_is_the_mean_of_the_parameters_after_the_chosen_step():
  rng = np.random.default_rng(5)
  rule = online.Rule(average_after=4)
  state, after = online.begin(draw(60, rng), 2, rng), []
  for _ in range(8):
    state = online.update(state, draw(30, rng), rule)
    if state.step > 4:
      after.append(online.current(state, rule))
  for averaged, *values in zip(online.averaged(state), *after, strict=True):
    np.testing.assert_allclose(averaged, np.mean(values, 0), rtol=1e-9)


def test_residuals_that_recur_become_dense_and_rare_ones_do_not():
  rng = np.random.default_rng(6)
  state = online.begin(rng.normal(size=(300, 2)), 4, rng, step=10)
  rule = online.Rule(kappa=0.6)
  for _ in range(100):
    recurring = np.array([9.0, 9.0]) + 0.3 * rng.normal(size=(10, 2))
    vectors = np.concatenate([rng.normal(size=(40, 2)), recurring])
    state = online.update(state, vectors, rule)
  points = np.array([[9.0, 9.0], [0.0, 0.0], [-9.0, 9.0]])
  recurring, healthy, lesion = online.log_density(online.averaged(state), points)
  assert recurring > healthy - 3 and lesion < healthy - 10


def test_a_scan_without_vectors_leaves_the_state_as_it_is():
  rng = np.random.default_rng(7)
  state = online.begin(draw(60, rng), 2, rng)
  assert online.update(state, np.zeros((0, 3)), online.Rule()) is state


def test_a_replay_from_a_file_is_bitwise_equal(tmp_path):
  scans = [draw(20, np.random.default_rng(seed)) for seed in range(10)]
  begin = online.begin(scans[0], 3, np.random.default_rng(1))

  def replay(state, scans):
    for x in scans:
      state = online.update(state, x, online.Rule())
    return state

  np.savez(tmp_path / 'state.npz', **replay(begin, scans[:5])._asdict())
  with np.load(tmp_path / 'state.npz') as arrays:
    again = replay(online.OnlineMixture(**arrays), scans[5:])
  for a, b in zip(again, replay(begin, scans), strict=True):
    assert a.dtype == b.dtype and (a == b).all()


def test_bad_vectors_and_constants_are_refused():
  rng = np.random.default_rng(8)
  state = online.begin(draw(60, rng), 2, rng)
  with pytest.raises(ValueError, match=r'shape \(5, 2\); allowed is \[N, 3\]'):
    online.update(state, np.zeros((5, 2)), online.Rule())
  with pytest.raises(ValueError, match='15 of 15 values are NaN'):
    online.update(state, np.full((5, 3), np.nan), online.Rule())
  with pytest.raises(ValueError, match='kappa is 0.5'):
    online.update(state, np.zeros((5, 3)), online.Rule(kappa=0.5))
  with pytest.raises(ValueError, match='1 are distinct; allowed are 2 or more'):
    online.begin(np.zeros((9, 3)), 2, rng)
