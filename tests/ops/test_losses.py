import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from skimage.metrics import structural_similarity

from uad_jax.ops import losses


def test_kl_normal_closed_form(key):
  # Oracle: the integral of p log(p / q) on a fine grid, in float64.
  mean, log_variance = 0.7, -0.9
  x = np.linspace(-12, 12, 200_001)
  sigma = np.exp(0.5 * log_variance)
  log_p = -0.5 * ((x - mean) / sigma) ** 2 - np.log(sigma)
  integrand = np.exp(log_p) / np.sqrt(2 * np.pi) * (log_p + 0.5 * x**2)
  expected = np.trapezoid(integrand, x)
  found = losses.kl_normal(jnp.array(mean), jnp.array(log_variance))
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_beta_nll_gradient_of_the_mean_is_that_of_half_a_square_at_beta_one():
  x, mean, log_variance = jnp.array(2.0), jnp.array(0.5), jnp.array(1.3)
  grad = jax.grad(lambda m: losses.beta_nll(x, m, log_variance, beta=1.0))(mean)
  np.testing.assert_allclose(grad, -(x - mean), rtol=1e-6)


def test_beta_nll_at_zero_is_the_likelihood(key):
  x, mean, log_variance = jax.random.normal(key, (3, 50))
  np.testing.assert_allclose(
    losses.beta_nll(x, mean, log_variance, 0.0),
    losses.gaussian_nll(x, mean, log_variance),
  )


def test_ssim_equals_scikit_image_in_the_interior(key):
  a, b = jax.random.uniform(key, (2, 1, 24, 20, 1))
  # Oracle: scikit-image, uniform window, sample covariance.
  _, expected = structural_similarity(
    np.asarray(a[0, ..., 0], np.float64),
    np.asarray(b[0, ..., 0], np.float64),
    win_size=7,
    data_range=1.0,
    full=True,
  )
  found = losses.ssim(a, b)[0, ..., 0]
  np.testing.assert_allclose(found[3:-3, 3:-3], expected[3:-3, 3:-3], atol=2e-4)


def test_soft_dice_of_a_sure_and_right_answer_is_zero():
  target = jnp.array([0.0, 1.0, 1.0, 0.0])
  assert losses.soft_dice(200 * target - 100, target) < 1e-6
  assert losses.soft_dice(100 - 200 * target, target) > 0.7


def test_masked_mean_ignores_what_the_mask_leaves_out():
  value = jnp.array([[[1.0], [jnp.float32(1e9)], [3.0]]])
  mask = jnp.array([[[1.0], [0.0], [1.0]]])
  assert losses.masked_mean(value, mask) == 2.0
  assert losses.masked_mean(value, jnp.zeros_like(mask)) == 0.0


@pytest.mark.parametrize(
  'loss',
  [losses.kl_normal, losses.binary_cross_entropy, losses.soft_dice],
  ids=lambda f: f.__name__,
)
def test_gradients(loss, key):
  a, b = jax.random.normal(key, (2, 7))
  check_grads(lambda a, b: loss(a, jax.nn.sigmoid(b)), (a, b), 1, modes=['rev'])


def test_ssim_gradient_is_finite_at_equal_and_constant_images():
  flat = jnp.full((1, 9, 9, 1), 0.5)
  grad = jax.grad(lambda a: losses.ssim(a, flat).sum())(flat)
  assert jnp.isfinite(grad).all()
