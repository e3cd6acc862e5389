import functools

import jax
import numpy as np
import pytest

from tests.method_table import ROWS, trained
from uad_jax import quantile
from uad_jax.methods.latent_diffusion import SURPRISES
from uad_jax.registry import named


@functools.cache
def outputs(limit_share):
  """Inference with the share of places that count as likely, after the training."""
  _, batch, _, state, _, _ = trained('latent_diffusion')
  shape, options, _ = ROWS['latent_diffusion']
  method = named('methods', 'latent_diffusion')(shape, **options, healthy=limit_share)
  infer = jax.jit(method.infer)
  return infer(state.params, state.stats, batch, jax.random.key(3)), state


def test_the_calibration_counts_every_place():
  _, state = outputs(0.5)
  _, batch, _, _, _, _ = trained('latent_diffusion')
  shape, options, _ = ROWS['latent_diffusion']
  places = np.prod([n // 2 ** len(options['widths']) for n in shape])
  # Ten steps of one batch.
  assert state.stats['surprise'].sum() == 10 * len(batch['image']) * places
  assert 0 < quantile.quantile(state.stats['surprise'], 0.5, SURPRISES) < SURPRISES.high


def test_what_is_likely_stays():
  found, _ = outputs(1.0)
  still = ~(np.asarray(found['heal_mask']) > 0).any((1, 2, 3, 4))
  assert still.any()
  np.testing.assert_allclose(
    found['healed'][still, 0], found['reconstruction'][still], atol=1e-5
  )


def test_half_of_the_places_are_healed():
  found, _ = outputs(0.5)
  batch = trained('latent_diffusion')[1]
  share = np.asarray(found['heal_mask'])[:, 0].sum() / batch['mask'].sum()
  assert 0.2 < share < 0.8
  assert np.abs(found['healed'][:, 0] - found['reconstruction']).max() > 0


def test_times_beyond_the_schedule_are_refused():
  with pytest.raises(ValueError, match=r'looks \(1, 200, 2\) and start 50 must lie'):
    named('methods', 'latent_diffusion')(
      (16, 16), widths=(4,), steps=100, looks=(1, 200, 2), start=50
    )
