import jax
import jax.numpy as jnp
import numpy as np

from uad_jax.nets.layers.batch_norm import BatchNorm


def normalise(x, weight, train=True):
  norm = BatchNorm()
  variables = norm.init(jax.random.key(0), x, weight, False)
  return norm.apply(variables, x, weight, train, mutable=['batch_stats'])


def test_batch_norm_is_numpys():
  x = np.random.default_rng(0).normal(3, 2, size=(4, 5, 6, 3)).astype('float32')
  y, moved = normalise(x, np.ones(4, 'float32'))
  mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
  np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5), atol=1e-4)
  moved = moved['batch_stats']
  np.testing.assert_allclose(moved['mean'], 0.1 * mean, rtol=1e-4)
  unbiased = x.var((0, 1, 2), ddof=1)
  np.testing.assert_allclose(moved['var'], 0.9 + 0.1 * unbiased, rtol=1e-4)


def test_padding_does_not_enter_the_statistics():
  x = np.random.default_rng(0).normal(size=(4, 5, 6, 3)).astype('float32')
  weight = np.array([1, 1, 0, 1], 'float32')
  odd = x.copy()
  odd[2] = 1e3
  y, moved = normalise(odd, weight)
  want, want_moved = normalise(x[weight == 1], np.ones(3, 'float32'))
  np.testing.assert_allclose(y[weight == 1], want, atol=1e-4)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), moved, want_moved
  )


def test_a_step_without_examples_keeps_the_averages():
  x = np.ones((2, 3, 3, 2), 'float32')
  y, moved = normalise(x, np.zeros(2, 'float32'))
  assert np.isfinite(y).all()
  np.testing.assert_array_equal(moved['batch_stats']['mean'], 0)
  np.testing.assert_array_equal(moved['batch_stats']['var'], 1)


def test_evaluation_uses_the_averages():
  x = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype('float32')
  y, _ = normalise(x, np.ones(2, 'float32'), train=False)
  np.testing.assert_allclose(y, x / np.sqrt(1 + 1e-5), rtol=1e-5)


def test_constant_features_have_finite_gradients():
  x = jnp.full((2, 4, 4, 3), 5.0)
  grad = jax.grad(lambda x: normalise(x, jnp.ones(2))[0].sum())(x)
  assert jnp.isfinite(grad).all()
