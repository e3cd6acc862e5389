"""Averaged parameters: how they follow the trained ones, and that they infer."""

import jax
import numpy as np
import optax
import pytest

from tests.adapt.recording_method import recording
from tests.method_table import make_batch
from uad_jax.adapt import ema
from uad_jax.update import due, init_state, make_update


def test_the_average_follows_the_parameters_and_is_what_infers():
  batch, key = make_batch((4, 4)), jax.random.key(0)
  method = ema.make(decay=0.5)(recording())
  tx = {'trained': optax.sgd(1.0)}
  state = init_state(method, tx, key, batch)
  update = make_update(method, tx, (4,))
  average = 1.0
  for step in range(4):
    names = due(method.objectives, (4,), step)
    splits = {method.objectives[n].split: batch for n in names}
    state, _ = update(names)(state, splits, key)
    rate = min(0.5, (1 + step) / (10 + step))
    average = rate * average + (1 - rate) * float(state.params['net']['w'])
  assert float(state.stats['ema']['net']['w']) == pytest.approx(average, rel=1e-5)
  inferred = method.infer(state.params, state.stats, batch, key)['reconstruction']
  np.testing.assert_allclose(inferred, batch['image'] * average, rtol=1e-5)


@pytest.mark.parametrize('decay', [5, 1, -0.1, float('nan'), 'a', None])
def test_a_decay_that_is_no_share_is_refused(decay):
  with pytest.raises(ValueError, match=rf'decay is {decay}; allowed are .*\[0, 1\)'):
    ema.make(decay=decay)
  assert ema.make(decay=0) and ema.make(decay=0.999)
