"""Logistic adversarial losses against the logarithms of probabilities."""

import jax.numpy as jnp
import numpy as np
import pytest

from uad_jax.methods.families import logistic_gan


def test_losses_are_logarithms_of_probabilities_without_the_padding():
  real, fake = np.array([0.3, -2.0, 9.0]), np.array([1.5, -0.7, 9.0])
  weight = jnp.array([1.0, 1.0, 0.0])
  p_real, p_fake = (1 / (1 + np.exp(-x[:2])) for x in (real, fake))
  loss, metrics = logistic_gan.discriminator_loss(
    jnp.float32(real), jnp.float32(fake), weight
  )
  expected = -(np.log(p_real) + np.log(1 - p_fake)).mean()
  assert float(loss) == pytest.approx(expected, rel=1e-5)
  assert float(metrics['accuracy']) == 0.5
  deceiving = logistic_gan.generator_loss(jnp.float32(fake), weight)
  assert float(deceiving) == pytest.approx(-np.log(p_fake).mean(), rel=1e-5)
