"""Inner maximisation against closed forms: linear and quadratic losses, certificate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.method_table import make_batch
from uad_jax.ops import inner_maximisation
from uad_jax.ops.losses import masked_mean, voxel_weight

GAMMA = 0.7


def problem(size=4, shape=(8, 9), channels=2, by_scan=False):
  """Batch with brains of different sizes and two contrasts, and the cost on it."""
  batch = make_batch(shape, size)
  batch['image'] = np.repeat(batch['image'], channels, -1)
  batch['mask'][1:, :4] = 0
  shares = inner_maximisation.voxel_shares(batch['mask'], batch['weight'], by_scan)
  return batch, inner_maximisation.mean_square(shares, channels)


def test_a_linear_loss_moves_by_its_slope_over_two_gamma(key):
  batch, cost = problem()
  slope = jax.random.normal(key, batch['image'].shape)

  def loss(z):  # a mean over the brain voxels of the batch, as the cost
    return masked_mean(slope * z, voxel_weight(batch))

  for steps in (0, 15):
    z = inner_maximisation.maximise(loss, batch['image'], cost, GAMMA, steps)
    # Closed form: the gradient of g x - gamma (x - x0)^2 is 0 at x0 + g / (2 gamma).
    expected = batch['image'] + slope / (2 * GAMMA) * batch['mask']
    np.testing.assert_allclose(z, expected, atol=1e-5)


@pytest.mark.parametrize('curvature', [-2.0, 0.5])
def test_a_quadratic_loss_is_maximised_at_its_closed_form(key, curvature):
  batch, cost = problem()
  slope = jax.random.normal(key, batch['image'].shape)

  def loss(z):
    return masked_mean(slope * z + 0.5 * curvature * z**2, voxel_weight(batch))

  z = inner_maximisation.maximise(loss, batch['image'], cost, GAMMA, 200)
  # slope + curvature x = 2 gamma (x - x0).
  image = batch['image']
  expected = (2 * GAMMA * image + slope) / (2 * GAMMA - curvature)
  expected = jnp.where(batch['mask'] > 0, expected, image)
  np.testing.assert_allclose(z, expected, atol=1e-4)
  near = inner_maximisation.maximise(loss, image, cost, GAMMA)
  assert np.abs(near - expected).max() < 0.1 * np.abs(expected - image).max()


def test_the_steps_are_those_of_the_paper(key):
  batch, cost = problem(channels=1)
  weight = voxel_weight(batch)
  z = inner_maximisation.maximise(
    lambda z: masked_mean(jnp.sin(3 * z), weight), batch['image'], cost, GAMMA, 3
  )
  # An independent loop in float64: card 7, with the gradient of a sum over voxels.
  start, eps = batch['image'].astype(np.float64), 1 / (2 * GAMMA)
  x = start + eps * 3 * np.cos(3 * start)
  for t in range(3):
    x = x + (eps * 3 * np.cos(3 * x) - (x - start)) / np.sqrt(t + 2)
  inside = batch['mask'] > 0
  np.testing.assert_allclose(np.asarray(z)[inside], x[inside], atol=1e-5)
  np.testing.assert_array_equal(np.asarray(z)[~inside], batch['image'][~inside])


@pytest.mark.parametrize('by_scan', [False, True])
def test_a_scan_moves_the_same_in_every_batch(by_scan):
  """The loss couples nothing but by its mean, so that each scan has its own problem."""

  def moved(batch):
    shares = inner_maximisation.voxel_shares(batch['mask'], batch['weight'], by_scan)

    def loss(z):  # by voxel, or by scan
      return (shares * (jnp.sin(3 * z) + z**3)).sum()

    cost = inner_maximisation.mean_square(shares, 1)
    return inner_maximisation.maximise(loss, batch['image'], cost, GAMMA)

  batch, _ = problem(channels=1)
  together = moved(batch)
  for i in range(4):
    alone = moved({name: value[i : i + 1] for name, value in batch.items()})
    np.testing.assert_allclose(together[i], alone[0], atol=1e-5)
  batch['weight'][2] = 0
  padded = moved(batch)
  np.testing.assert_array_equal(padded[2], batch['image'][2])
  np.testing.assert_allclose(padded[:2], together[:2], atol=1e-5)


@pytest.mark.parametrize('by_scan', [False, True])
def test_shares_are_those_of_a_mean_over_voxels_or_over_scans(key, by_scan):
  batch, _ = problem()
  batch['weight'][0] = 0
  shares = inner_maximisation.voxel_shares(batch['mask'], batch['weight'], by_scan)
  value = np.asarray(jax.random.normal(key, batch['mask'].shape))
  # numpy, over the brain voxels of the scans that count.
  scans = [value[i][batch['mask'][i] > 0] for i in range(1, 4)]
  expected = np.mean([s.mean() for s in scans] if by_scan else np.concatenate(scans))
  assert float((shares * value).sum()) == pytest.approx(expected, abs=1e-6)
  assert float(shares.sum()) == pytest.approx(1, abs=1e-5)


def test_damped_systems_are_solved_as_numpy_does(key):
  factor = jax.random.normal(key, (3, 5, 5))
  matrices = factor @ factor.swapaxes(1, 2)
  matrices = matrices.at[2].set(0)  # padding
  slope = jax.random.normal(jax.random.fold_in(key, 1), (3, 5))
  u = inner_maximisation.damped_solve(matrices, slope, 0.1)
  for i in range(2):
    damped = matrices[i] + 0.1 * np.trace(matrices[i]) / 5 * np.eye(5)
    np.testing.assert_allclose(u[i], np.linalg.solve(damped, slope[i]), rtol=2e-3)
  assert not np.asarray(u[2]).any()


def test_a_cost_that_is_not_quadratic_is_the_one_of_the_objective():
  """l = s u, c = u^4 + u^2: s = gamma (4 u^3 + 2 u), whose root numpy finds."""
  cost = inner_maximisation.Cost(lambda u: (u**4 + u**2).sum(), lambda g: g)
  slopes = jnp.array([0.2, -0.5])
  z = inner_maximisation.maximise(
    lambda z: (slopes * z).sum(), jnp.zeros(2), cost, GAMMA, 300
  )
  for slope, u in zip(slopes, z, strict=True):
    roots = np.roots([4 * GAMMA, 0, 2 * GAMMA, -float(slope)])
    expected = roots[np.abs(roots.imag) < 1e-9].real
    np.testing.assert_allclose(u, expected[0], atol=1e-4)


def test_the_certificate_bounds_the_loss_of_every_shift_within_the_radius(key):
  batch, cost = problem()
  weight = voxel_weight(batch)
  slope = jax.random.normal(key, batch['image'].shape)

  def loss(z):
    return masked_mean(slope * z, weight)

  radii = np.array([0.0, 0.01, 0.1, 1.0, 4.0], np.float32)
  report = inner_maximisation.certificate(loss, batch['image'], cost, GAMMA, radii)
  # Cauchy-Schwarz: the worst shift of mean square rho is along the slope, and adds
  # sqrt(rho mean(slope^2)).
  square = float(masked_mean(slope**2, weight))
  worst = float(loss(batch['image'])) + np.sqrt(radii * square)
  assert (np.asarray(report.bounds) >= worst - 1e-5).all()
  for rho in radii:  # and shifts that are drawn
    for draw in range(3):
      shift = jax.random.normal(jax.random.fold_in(key, draw), slope.shape)
      shift = shift + draw * slope
      shift = shift * jnp.sqrt(rho / masked_mean(shift**2, weight))
      bound = GAMMA * rho + float(report.phi)
      assert float(loss(batch['image'] + shift)) <= bound + 1e-5
  # It is tight at rho_hat = mean (slope / (2 gamma))^2, and its phi is exact.
  rho_hat = square / (4 * GAMMA**2)
  assert float(report.rho_hat) == pytest.approx(rho_hat, rel=1e-4)
  tight = GAMMA * rho_hat + float(report.phi)
  assert tight == pytest.approx(
    float(report.clean) + np.sqrt(rho_hat * square), rel=1e-4
  )
  assert abs(float(report.inner_gap)) < 1e-5


def test_the_inner_gap_is_what_more_steps_would_add():
  batch, cost = problem(channels=1)
  weight = voxel_weight(batch)

  def loss(z):  # nearly as curved as the cost, so that the steps converge slowly
    return masked_mean(z + 0.48 * 2 * GAMMA * z**2, weight)

  few = inner_maximisation.certificate(loss, batch['image'], cost, GAMMA, (0.1,), 2)
  more = inner_maximisation.certificate(loss, batch['image'], cost, GAMMA, (0.1,), 15)
  assert float(few.inner_gap) > float(more.inner_gap) > 1e-3
  # Both take the better phi, that of 100 steps.
  np.testing.assert_allclose(few.bounds, more.bounds, rtol=1e-6)
  assert float(few.phi) == pytest.approx(float(more.phi))


def test_the_maximiser_has_no_gradient():
  batch, cost = problem(channels=1)

  def outer(scale):
    def inner(z):
      return scale * masked_mean(z**2, voxel_weight(batch))

    return inner_maximisation.maximise(inner, batch['image'], cost, 5.0).sum()

  assert float(jax.grad(outer)(1.0)) == 0
