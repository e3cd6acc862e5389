"""The denoiser removes coarse noise, and padding and background teach it nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.method_table import ROWS, make_batch
from uad_jax.methods import denoising_ae
from uad_jax.update import init_state, make_update

SHAPE, OPTIONS, _ = ROWS['denoising_ae']


@pytest.mark.slow
def test_it_learns_to_leave_less_noise_than_it_was_given(key):
  method, batch = denoising_ae.make(SHAPE, **OPTIONS), make_batch(SHAPE, size=16)
  tx = {'denoiser': optax.adam(1e-2)}
  state = jax.jit(lambda key: init_state(method, tx, key, batch))(key)
  update = make_update(method, tx, (200,))(('denoiser',))
  for _ in range(200):
    state, metrics = update(state, {'train': batch}, key)
  assert metrics['denoiser/left'] < 0.3
  # A blob that was never there is taken out, where the noise was as coarse.
  blob = jnp.zeros((16, *SHAPE, 1)).at[:, 5:10, 5:10].set(0.3)
  infer = jax.jit(method.infer)
  clean = infer(state.params, state.stats, batch, key)['reconstruction']
  marked = {**batch, 'image': batch['image'] + blob}
  found = infer(state.params, state.stats, marked, key)['reconstruction']
  kept = jnp.abs(found - clean)[:, 5:10, 5:10].mean() / 0.3
  assert kept < 0.6


def test_padding_and_background_are_not_in_the_loss(key):
  method = denoising_ae.make(SHAPE, **{**OPTIONS, 'blocks': 1})
  batch = make_batch(SHAPE)
  batch['weight'] = np.array([1, 1, 1, 0], np.float32)
  params, stats = method.init(key, batch)
  loss = jax.jit(method.objectives['denoiser'].loss)
  value, _ = loss(params, stats, batch, key, 0)
  other = batch['image'].copy()
  other[-1] = 7.0
  changed, _ = loss(params, stats, {**batch, 'image': other}, key, 0)
  np.testing.assert_array_equal(value, changed)
  # Oracle: without noise it is the squared error over the brain of the first three.
  quiet = denoising_ae.make(SHAPE, **{**OPTIONS, 'blocks': 1, 'deviation': 0.0})
  value, _ = quiet.objectives['denoiser'].loss(params, stats, batch, key, 0)
  restored = np.asarray(method.infer(params, stats, batch, key)['reconstruction'])
  error = ((batch['image'] - restored) ** 2 * batch['mask'])[:3]
  np.testing.assert_allclose(value, error.sum() / batch['mask'][:3].sum(), rtol=1e-4)
  assert np.abs(restored * (1 - batch['mask'])).max() == 0


def test_noise_finer_than_the_image_is_refused():
  with pytest.raises(ValueError, match='24 cells do not fit .* allowed are 1 to 16'):
    denoising_ae.make(SHAPE, cells=24)
