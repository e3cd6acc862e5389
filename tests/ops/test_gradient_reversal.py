"""Reversed gradients: sign and scale, and none for the scale itself."""

import jax
import jax.numpy as jnp
import numpy as np

from uad_jax.ops.gradient_reversal import reverse_gradient


def test_the_gradient_is_that_of_the_loss_times_minus_the_scale(key):
  x = jax.random.normal(key, (5, 3))

  def loss(x, layer):
    return (jnp.sin(layer(x)) * x.shape[0]).sum()

  scale = jnp.array(0.3)
  plain = jax.grad(loss)(x, lambda x: x)  # by jax.grad without the layer
  turned = jax.jit(jax.grad(lambda x: loss(x, lambda x: reverse_gradient(x, scale))))(x)
  np.testing.assert_allclose(turned, -0.3 * plain, rtol=1e-6)
  np.testing.assert_array_equal(reverse_gradient(x, scale), x)


def test_the_scale_gets_no_gradient():
  by_scale = jax.grad(lambda scale: reverse_gradient(jnp.array(2.0), scale))
  assert float(by_scale(jnp.array(0.5))) == 0
