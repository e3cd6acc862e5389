"""The improbability of known probabilities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from tests.method_table import trained
from uad_jax.method import bind
from uad_jax.scores.likelihood import make

SHAPE = (2, 8, 8, 1)


def test_it_is_minus_the_log_probability_in_the_mask(key):
  probability = jax.random.uniform(key, SHAPE, minval=0.01)
  mask = jnp.zeros(SHAPE).at[:, 2:].set(1.0)

  def infer(batch, key):
    return {'improbability': -jnp.log(probability)}

  found = make()(infer, {'mask': mask}, key)
  want = np.where(mask > 0, -np.log(probability), 0.0)
  np.testing.assert_allclose(found, want, rtol=1e-6)
  found = make(smooth=1.0)(infer, {'mask': mask}, key)
  # oracle: scipy
  smooth = ndimage.gaussian_filter(-np.log(probability), (0, 1, 1, 0), mode='nearest')
  np.testing.assert_allclose(found, smooth * mask, rtol=1e-4)


@pytest.mark.slow
def test_with_one_code_at_each_place_it_adds_up_to_the_scans(key):
  """The mean of the map is that of 'log_prob', which linear interpolation keeps."""
  method, batch, _, state, _, infer = trained('vqvae_transformer')
  batch = {**batch, 'mask': np.ones_like(batch['mask'])}
  found = make()(bind(method, state.params, state.stats), batch, key)
  log_prob = infer(state.params, state.stats, batch, key)['log_prob']
  assert 0 < found.mean() < 3 * np.log(6)  # six codes
  # 4 x 4 places.
  np.testing.assert_allclose(found.mean((1, 2, 3)), -log_prob / 16, rtol=1e-4)
