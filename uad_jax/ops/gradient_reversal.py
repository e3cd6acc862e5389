"""Layer that reverses gradients, for adversarial training in one loss."""

import jax
import jax.numpy as jnp

Array = jax.Array


@jax.custom_vjp
def reverse_gradient(x: Array, scale: Array) -> Array:
  """Returns an array unchanged, and multiplies the gradient through it by -scale.

  Gradient reversal layer of Ganin et al. ("Domain-adversarial training of neural
  networks", JMLR 2016, equations 11 and 12): R(x) = x, dR/dx = -scale I.

  Args:
    x: Any shape.
    scale: Scalar lambda; it gets no gradient.

  Examples:
    >>> loss = lambda x: 3 * reverse_gradient(x, jnp.array(0.5))
    >>> float(loss(jnp.array(2.0))), float(jax.grad(loss)(jnp.array(2.0)))
    (6.0, -1.5)
  """
  return x


def _forward(x, scale):
  """Value, and the scale for the backward pass."""
  return x, scale


def _backward(scale, gradient):
  """Gradients with respect to x and scale."""
  return -scale * gradient, jnp.zeros_like(scale)


reverse_gradient.defvjp(_forward, _backward)
