"""Kinks in graphs: activations through nested calls, loops and stopped gradients."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from uad_jax.ops.kinks import check_smooth, kinks

X = jnp.ones((2, 4))


def looped(activation):
  def function(x):
    return jax.lax.scan(lambda c, _: (activation(c), None), x, jnp.zeros(3))[0].sum()

  return function


@pytest.mark.parametrize('name', ['relu', 'relu6', 'leaky_relu', 'hard_tanh'])
@pytest.mark.parametrize('wrap', [lambda f: f, jax.jit, jax.checkpoint, looped])
def test_activations_with_a_kink_are_listed(name, wrap):
  assert kinks(wrap(getattr(nn, name)), X) == [name]


@pytest.mark.parametrize('name', ['softplus', 'elu', 'swish', 'gelu', 'tanh', 'celu'])
def test_smooth_activations_are_not_listed(name):
  function = getattr(nn, name)
  assert not kinks(function, X)
  assert not kinks(looped(function), X)


def test_only_operations_between_input_and_output_count():
  other = jnp.ones(3)

  def function(x):
    unused = jnp.abs(x)
    stopped = jnp.abs(jax.lax.stop_gradient(x)).sum()
    apart = nn.relu(other).sum()
    return (x**2).sum() + stopped + apart + 0 * unused.shape[0]

  assert not kinks(function, X)
  assert kinks(lambda x: (function(x), jnp.abs(x - 1).mean()), X) == ['abs']


def test_the_error_lists_them():
  check_smooth('the loss', lambda x: (x**2).sum(), X)
  with pytest.raises(
    ValueError, match='the loss contains abs, relu; allowed are smooth'
  ):
    check_smooth('the loss', lambda x: jnp.abs(nn.relu(x)), X)
