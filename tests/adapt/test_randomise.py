"""Contrast randomisation: which objectives see which transforms."""

import jax
import numpy as np
import pytest

from tests.adapt.recording_method import recording, seen_by
from tests.method_table import make_batch
from uad_jax.adapt import randomise
from uad_jax.augmentation import image_transforms, scanner_transforms

OFF = dict(curve=0.0, bias=0.0, fwhm=0.0, thickness=1, noise=0.0)
ON = dict(curve=1.0, bias=0.5, fwhm=3.0, thickness=4, noise=0.1)


def test_strength_zero_changes_no_bit(key):
  batch = make_batch((8, 12))
  method = randomise.make(**OFF, fits=True)(recording())
  for name in ('trained', 'fitted', 'calibrated'):
    np.testing.assert_array_equal(seen_by(method, name, batch, key), batch['image'])


@pytest.mark.parametrize('option', ON)
@pytest.mark.parametrize('fits', [False, True])
def test_every_transform_is_an_option_and_fits_see_it_on_request(key, option, fits):
  batch = make_batch((8, 12))
  method = randomise.make(**OFF | {option: ON[option]}, fits=fits)(recording())
  seen = seen_by(method, 'trained', batch, key)
  assert np.abs(seen - batch['image']).max() > 1e-3
  outside = batch['mask'] == 0
  np.testing.assert_array_equal(seen[outside], batch['image'][outside])
  np.testing.assert_array_equal(seen, seen_by(method, 'trained', batch, key))
  other = seen_by(method, 'trained', batch, jax.random.fold_in(key, 1))
  assert not np.array_equal(seen, other)
  fitted = seen_by(method, 'fitted', batch, key)
  np.testing.assert_array_equal(fitted, seen if fits else batch['image'])
  calibrated = seen_by(method, 'calibrated', batch, key)
  np.testing.assert_array_equal(calibrated, batch['image'])


def test_the_draws_are_apart_from_those_of_the_loss_and_of_one_another(key):
  """Their keys: a run that is stored with them would else train on other scans."""
  batch = make_batch((8, 12))
  keys = jax.random.split(jax.random.fold_in(key, randomise.SEED), 5)
  for i, (option, change) in enumerate(
    [
      ('curve', scanner_transforms.random_curve),
      ('bias', image_transforms.bias),
      ('fwhm', scanner_transforms.random_blur),
      ('thickness', scanner_transforms.random_slices),
      ('noise', image_transforms.noise),
    ]
  ):
    method = randomise.make(**OFF | {option: ON[option]})(recording())
    expected = change(keys[i], batch, ON[option])['image']
    np.testing.assert_array_equal(seen_by(method, 'trained', batch, key), expected)
  method = randomise.make(**OFF | {'curve': 1.0, 'bias': 0.5})(recording())
  expected = scanner_transforms.random_curve(keys[0], batch, 1.0)
  expected = image_transforms.bias(keys[1], expected, 0.5)['image']
  np.testing.assert_array_equal(seen_by(method, 'trained', batch, key), expected)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    (dict(curve=-1), 'randomise: curve is -1; allowed is a number of 0 or more'),
    (dict(fwhm='a'), 'randomise: fwhm is a; allowed is a number of 0 or more'),
    (dict(thickness=0), 'randomise: thickness is 0; allowed is a whole number of 1'),
  ],
)
def test_an_option_out_of_range_is_named(options, message):
  with pytest.raises(ValueError, match=message):
    randomise.make(**options)
