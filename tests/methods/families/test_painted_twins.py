"""Painted scans and their lesion-free twins, for the training of the deformer."""

import jax
import numpy as np

from tests.method_table import make_batch
from uad_jax.methods.families import painted_twins

SHAPE = (16, 16)
RANGE = (0.03, 30.0)


def draw(key, size):
  batch = make_batch(SHAPE, size)
  batch['weight'][0] = 0
  run = jax.jit(lambda key: painted_twins.draw(key, batch, ('constant',), RANGE))
  return batch, jax.device_get(run(key))


def test_each_painted_scan_is_followed_by_its_twin_without_lesion_and_gate(key):
  batch, twins = draw(key, 16)
  painted, clean = np.split(twins.image, 2)
  np.testing.assert_array_equal(clean, batch['image'][::2])
  difference = np.abs(painted - clean)
  assert (difference.max((1, 2, 3)) > 0.01).all()
  assert not (difference * (1 - batch['mask'][::2])).any()
  gate, none = np.split(twins.gate, 2)
  assert not none.any() and 0 <= gate.min() and 0.5 < gate.max() <= 1
  for name in ('mask', 'position'):
    for part in np.split(getattr(twins, name), 2):
      np.testing.assert_array_equal(part, batch[name][::2])
  np.testing.assert_array_equal(twins.weight, batch['weight'][::2])


def test_strengths_are_log_uniform_and_equal_for_twins(key):
  _, twins = draw(key, 128)
  strength, same = np.split(twins.strength, 2)
  np.testing.assert_array_equal(strength, same)
  assert RANGE[0] <= strength.min() < 0.1 and 10 < strength.max() <= RANGE[1]
  # The median of a log-uniform number is the geometric mean of its range.
  assert 0.4 < np.median(strength) < 2.5


def test_a_batch_of_odd_size_keeps_its_last_scan(key):
  batch, twins = draw(key, 3)
  assert len(twins.image) == 4 and len(twins.weight) == 2
  np.testing.assert_array_equal(twins.image[-1], batch['image'][-1])
