import functools

import jax
import numpy as np
import pytest

from tests.method_table import ROWS, trained
from uad_jax.methods.latent_diffusion import SURPRISES
from uad_jax.ops import streaming_quantile
from uad_jax.registry import named


@functools.cache
def outputs(healthy, limit=None):
  """Inference after training, with `healthy` as the share of likely places.

  With a limit every place of the validation scans had that surprise.
  """
  _, batch, _, state, _, _ = trained('latent_diffusion')
  shape, options, _ = ROWS['latent_diffusion']
  method = named('methods', 'latent_diffusion')(shape, **options, healthy=healthy)
  stats = dict(state.stats)
  if limit is not None:
    once, value = np.ones((1, 1), np.float32), np.full((1, 1), limit, np.float32)
    stats['surprise'] = streaming_quantile.observe(
      streaming_quantile.empty(SURPRISES), value, once, SURPRISES
    )
  infer = jax.jit(method.infer)
  return infer(state.params, stats, batch, jax.random.key(3)), state


@pytest.mark.slow
def test_the_calibration_counts_places_as_they_are_brain():
  _, state = outputs(0.5)
  _, batch, _, _, _, _ = trained('latent_diffusion')
  _, options, _ = ROWS['latent_diffusion']
  brain = batch['mask'].sum() / 2 ** (2 * len(options['widths']))
  # Ten steps of one batch.
  np.testing.assert_allclose(state.stats['surprise'].sum(), 10 * brain, rtol=1e-5)
  assert (
    0
    < streaming_quantile.quantile(state.stats['surprise'], 0.5, SURPRISES)
    < SURPRISES.high
  )


@pytest.mark.slow
def test_what_is_likely_stays():
  found, _ = outputs(1.0, SURPRISES.high)
  assert not found['heal_mask'].any()
  np.testing.assert_allclose(found['healed'][:, 0], found['decoded'], atol=1e-5)


def test_half_of_the_places_are_healed():
  found, _ = outputs(0.5)
  batch = trained('latent_diffusion')[1]
  inside = found['heal_mask'][:, 0] * batch['mask']
  share = inside.sum() / batch['mask'].sum()
  assert 0.2 < share < 0.8
  assert np.abs(found['healed'][:, 0] - found['decoded']).max() > 0


def test_times_beyond_the_schedule_are_refused():
  with pytest.raises(ValueError, match=r'looks \(1, 200, 2\) and start 50 must lie'):
    named('methods', 'latent_diffusion')(
      (16, 16), widths=(4,), steps=100, looks=(1, 200, 2), start=50
    )
