"""The Gaussians of diffusion against closed forms and against Bayes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uad_jax.augmentation import simplex_noise
from uad_jax.ops import gaussian_diffusion


def test_the_linear_schedule_is_the_published_one():
  kept = gaussian_diffusion.schedule('linear', 1000)
  assert kept.shape == (1001,) and kept[0] == 1
  np.testing.assert_allclose(kept[1], 1 - 1e-4, rtol=1e-6)
  # Ho et al. 2020: nothing is left, KL(q(x_T | x_0) || N(0, 1)) of about 1e-5 a value.
  np.testing.assert_allclose(kept[-1], 4.04e-5, rtol=0.01)
  # Fewer steps go the same way.
  np.testing.assert_allclose(
    gaussian_diffusion.schedule('linear', 500)[1:], kept[2::2], atol=2e-3
  )


def test_the_cosine_schedule_is_its_formula():
  kept = gaussian_diffusion.schedule('cosine', 100)
  time = np.arange(100) / 100
  want = np.cos((time + 0.008) / 1.008 * np.pi / 2) ** 2
  np.testing.assert_allclose(kept[:-1], want / want[0], rtol=1e-4)
  assert 0 < kept[-1] < 1e-3
  for name in gaussian_diffusion.SCHEDULES:
    assert (np.diff(gaussian_diffusion.schedule(name, 50)) < 0).all()
  with pytest.raises(ValueError, match="unknown schedule 'sigmoid'; there are linear"):
    gaussian_diffusion.schedule('sigmoid', 10)


@pytest.mark.parametrize('noise', ['gaussian', 'simplex'])
def test_the_moments_of_a_noised_image(noise, key):
  """q(x_t | x_0) has mean sqrt(kept) x_0 and variance 1 - kept, at every voxel."""
  image = jnp.linspace(-1, 1, 48).reshape(1, 8, 6, 1)
  like = jnp.broadcast_to(image, (20000, 8, 6, 1))
  draw = {
    'gaussian': lambda k, x: jax.random.normal(k, x.shape),
    'simplex': simplex_noise.noise,
  }
  eps = jax.jit(draw[noise])(key, like)
  kept = gaussian_diffusion.schedule('linear', 1000)
  for t in (50, 250, 700):
    x = gaussian_diffusion.noised(image, eps, kept[t])
    np.testing.assert_allclose(x.mean(0), np.sqrt(kept[t]) * image[0], atol=0.035)
    np.testing.assert_allclose(x.var(0), 1 - kept[t], atol=0.06)
    np.testing.assert_allclose(
      gaussian_diffusion.denoised(x, eps, kept[t])[:9], like[:9], atol=2e-4
    )


def test_single_steps_lead_where_the_closed_form_says(key):
  """x_t = sqrt(1 - beta) x_{t-1} + sqrt(beta) eps, forty times, against `noised`."""
  kept = gaussian_diffusion.schedule('linear', 40)
  share = jnp.asarray(kept[1:] / kept[:-1])

  def step(x, now):
    share, key = now
    eps = jax.random.normal(key, x.shape)
    return jnp.sqrt(share) * x + jnp.sqrt(1 - share) * eps, (x.mean(), x.var())

  x = jnp.full((100000,), 0.7)
  _, (mean, variance) = jax.lax.scan(step, x, (share, jax.random.split(key, 40)))
  np.testing.assert_allclose(mean, np.sqrt(kept[:-1]) * 0.7, atol=0.015)
  np.testing.assert_allclose(variance, 1 - kept[:-1], atol=0.02)


@pytest.mark.parametrize('s, t', [(0, 7), (3, 4), (100, 250), (249, 250)])
def test_the_posterior_is_that_of_bayes(s, t):
  """Oracle: q(x_s | x_0) q(x_t | x_s) as a product of two Gaussians, in float64."""
  kept = gaussian_diffusion.schedule('linear', 1000).astype(np.float64)
  image, x, share = 0.4, -0.9, kept[t] / kept[s]
  found = gaussian_diffusion.posterior(*jnp.float32([image, x, kept[t], kept[s]]))
  if s == 0:
    want = (image, 0.0)
  else:
    precision = 1 / (1 - kept[s]) + share / (1 - share)
    mean = np.sqrt(kept[s]) * image / (1 - kept[s]) + np.sqrt(share) * x / (1 - share)
    want = mean / precision, 1 / precision
  np.testing.assert_allclose(found, want, rtol=5e-3, atol=1e-6)


def test_the_way_back():
  np.testing.assert_array_equal(
    gaussian_diffusion.strides(3, 3), [[3, 2], [2, 1], [1, 0]]
  )
  np.testing.assert_array_equal(
    gaussian_diffusion.strides(250, 2), [[250, 125], [125, 0]]
  )
  assert len(gaussian_diffusion.strides(5, 50)) == 5  # no step is taken twice
