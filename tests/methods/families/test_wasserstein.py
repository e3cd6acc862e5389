"""Gradient penalty and critic loss against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from uad_jax.methods.families.wasserstein import critic_loss, gradient_penalty


@pytest.mark.parametrize('shape', [(5,), (4, 6, 1), (3, 4, 2, 2)])
def test_a_linear_critic_is_charged_for_the_norm_of_its_weights(shape, key):
  # Oracle: D(x) = w x has the gradient w everywhere, so the penalty is (|w| - 1)^2.
  key_w, key_real, key_fake = jax.random.split(key, 3)
  w = jax.random.normal(key_w, shape)
  real, fake = (jax.random.normal(k, (7, *shape)) for k in (key_real, key_fake))
  axes = tuple(range(1, 1 + len(shape)))
  excess, norm = gradient_penalty(lambda x: (x * w[None]).sum(axes), real, fake, key)
  size = np.linalg.norm(np.asarray(w, np.float64).ravel())
  np.testing.assert_allclose(norm, np.full(7, size), rtol=1e-5)
  np.testing.assert_allclose(excess, np.full(7, (size - 1) ** 2), rtol=1e-4)


def test_the_gradient_is_taken_between_real_and_fake(key):
  # Oracle: D(x) = x^2 / 2 has the norm |x|, so the norm tells where it was taken.
  real, fake = jnp.full((64, 1), 2.0), jnp.full((64, 1), 5.0)
  _, norm = gradient_penalty(lambda x: 0.5 * (x**2).sum(1), real, fake, key)
  assert norm.min() >= 2 and norm.max() <= 5
  assert norm.min() < 2.5 and norm.max() > 4.5  # an e for each example


def test_its_gradient_is_right_and_finite_at_a_flat_critic(key):
  real, fake = jax.random.normal(key, (2, 3, 4))

  def loss(w):
    return gradient_penalty(lambda x: jnp.tanh(x @ w), real, fake, key)[0].mean()

  check_grads(loss, (jnp.array([0.5, -0.2, 0.1, 1.0]),), 1, modes=['rev'])
  assert jnp.isfinite(jax.grad(loss)(jnp.zeros(4))).all()


def test_the_loss_of_a_linear_critic_and_what_it_reports(key):
  real, fake = jnp.array([[3.0], [5.0], [7.0]]), jnp.array([[1.0], [1.0], [2.0]])
  weight = jnp.array([1.0, 1.0, 0.0])
  loss, metrics = critic_loss(lambda x: 2 * x[:, 0], real, fake, weight, 10.0, key)
  # By hand: the distance is 2 (4 - 1), the penalty 10 (2 - 1)^2; padding is left out.
  np.testing.assert_allclose(metrics['wasserstein'], 6.0, rtol=1e-5)
  np.testing.assert_allclose(metrics['gradient_norm'], 2.0, rtol=1e-5)
  np.testing.assert_allclose(loss, 10.0 - 6.0, rtol=1e-4)
