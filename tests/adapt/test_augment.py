"""Augmentation: which objectives see which transforms."""

import jax
import numpy as np
import pytest

from tests.adapt.recording_method import recording, seen_by
from tests.method_table import make_batch
from uad_jax.adapt import augment as augmented
from uad_jax.augmentation import image_transforms


def test_flips_mirror_some_examples_whole_and_leave_the_others():
  batch, key = make_batch((8, 12), size=16), jax.random.key(3)
  method = augmented.make(flips=(0,))(recording())
  for name in ('trained', 'fitted'):
    seen = seen_by(method, name, batch, key)
    same = (seen == batch['image']).all((1, 2, 3))
    turned = (seen == batch['image'][:, ::-1]).all((1, 2, 3))
    assert (same | turned).all() and same.any() and turned.any()


def test_contrast_is_monotone_and_only_for_what_trains():
  batch, key = make_batch((8, 8), size=8), jax.random.key(1)
  method = augmented.make(flips=(), gamma=0.2, gain=0.1)(recording())
  np.testing.assert_array_equal(seen_by(method, 'fitted', batch, key), batch['image'])
  np.testing.assert_array_equal(
    seen_by(method, 'calibrated', batch, key), batch['image']
  )
  seen = seen_by(method, 'trained', batch, key)
  for before, after in zip(batch['image'], seen, strict=True):
    positive = before > 0
    assert not np.allclose(before[positive], after[positive])
    order = np.argsort(before[positive])
    assert (np.diff(after[positive][order]) >= 0).all()
    np.testing.assert_array_equal(after[~positive], before[~positive])


@pytest.mark.parametrize('name', ['rotate', 'scale', 'shift', 'shear', 'bias', 'noise'])
def test_every_change_is_an_option_that_fits_do_not_see(key, name):
  batch = make_batch((8, 12), size=4)
  plain = augmented.make(flips=())(recording())
  method = augmented.make(flips=(), **{name: 1.0})(recording())
  for objective in ('fitted', 'calibrated'):
    seen = seen_by(method, objective, batch, key)
    np.testing.assert_array_equal(seen, seen_by(plain, objective, batch, key))
  seen = seen_by(method, 'trained', batch, key)
  assert np.abs(seen - batch['image']).max() > 1e-3
  np.testing.assert_array_equal(seen, seen_by(method, 'trained', batch, key))
  assert not np.array_equal(seen, seen_by(method, 'trained', batch, jax.random.key(5)))


def test_the_draws_of_flips_and_contrast_are_those_of_stored_runs(key):
  """Their keys: a run that is stored with them would else train on other scans."""
  batch = make_batch((8, 12), size=16)
  own = jax.random.fold_in(key, augmented.SEED)
  expected = image_transforms.flip(jax.random.fold_in(own, 0), batch, 0)
  expected = image_transforms.contrast(jax.random.fold_in(own, 4), expected, 0.2, 0.1)
  method = augmented.make(gamma=0.2, gain=0.1)(recording())
  seen = seen_by(method, 'trained', batch, key)
  np.testing.assert_array_equal(seen, expected['image'])


def test_a_negative_range_is_named():
  with pytest.raises(ValueError, match='rotate is -1; allowed are ranges from 0'):
    augmented.make(rotate=-1)
