"""Optimisers against their formulas written out in numpy."""

import jax
import numpy as np
import optax

from uad_jax import optimisers


def test_amsgrad_corrects_the_largest_moment_after_it_was_taken():
  rate, decay, steps = 0.01, 0.1, 30
  rng = np.random.default_rng(0)
  # First gradients many times those that follow: what must not be held uncorrected.
  gradients = (
    rng.normal(size=(steps, 5)) * np.where(np.arange(steps) < 2, 50.0, 1.0)[:, None]
  )
  made = optimisers.make(
    steps, 'amsgrad', rate, schedule='constant', weight_decay=decay, clip=0.0
  )
  weights = np.linspace(-1, 1, 5)
  params = {'w': jax.numpy.asarray(weights)}
  state = made.init(params)
  first, second, largest = np.zeros(5), np.zeros(5), np.zeros(5)
  for t, drawn in enumerate(gradients, 1):
    moved, state = made.update({'w': jax.numpy.asarray(drawn)}, state, params)
    params = optax.apply_updates(params, moved)
    drawn = drawn + decay * weights
    first = 0.9 * first + 0.1 * drawn
    second = 0.999 * second + 0.001 * drawn**2
    largest = np.maximum(largest, second)
    weights = weights - rate * first / (1 - 0.9**t) / np.sqrt(largest / (1 - 0.999**t))
    np.testing.assert_allclose(params['w'], weights, rtol=2e-4, atol=1e-6)
