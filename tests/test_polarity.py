"""The polarity of lesions reaches painters, methods and scorers alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.conftest import ROOT
from uad_jax import base_config, experiment, registry
from uad_jax.augmentation import synthetic_lesions
from uad_jax.augmentation.painters import PAINTERS
from uad_jax.method import Method, bind
from uad_jax.registry import named

SIGNED = {
  'residual': {},
  'standardised': {'smooth': 0.0},
  'multiscale': {},
  'ssim': {},
  'perceptual': {},
  'healing': {},
  'monte_carlo': {'samples': 2},
  'uncertainty': {'estimator': 'augmented', 'samples': 2},
  'restoration': {'steps': 0},
  'input_threshold': {},
  'log_odds': {},
}
"""Scorers with a sign, each with options."""


def test_every_scorer_with_a_sign_is_here():
  names = registry.names('scores')
  assert {name for name in names if registry.takes(named('scores', name), 'sign')} == {
    *SIGNED
  }


@pytest.mark.slow
def test_a_painter_only_brightens_or_darkens(key):
  keys = jax.random.split(key, 3)
  image = jax.random.uniform(keys[0], (6, 24, 24, 1), minval=0.2)
  mask = jnp.ones_like(image)
  shape = jax.random.uniform(keys[1], image.shape[:-1])
  for painter in PAINTERS:
    paint = jax.jit(
      lambda polarity, name=painter: synthetic_lesions.paint_shape(
        keys[2], image, mask, shape, (name,), polarity
      ),
      static_argnums=0,
    )
    free, bright, dark = map(paint, ('both', 'bright', 'dark'))
    np.testing.assert_allclose(bright - image, abs(free - image), atol=1e-6)
    assert (dark <= image).all() and dark.min() >= 0
    assert (bright - image).max() > 1e-3


def test_an_unknown_polarity_is_refused(key):
  image = jnp.ones((1, 8, 8, 1))
  with pytest.raises(ValueError, match="unknown polarity 'up'; there are both, bright"):
    synthetic_lesions.paint(key, image, image, polarity='up')
  with pytest.raises(ValueError, match="config.data: unknown polarity 'up'"):
    registry.polarity({'polarity': 'up'})


@pytest.mark.parametrize('scorer', SIGNED)
def test_a_signed_map_is_high_on_one_side_only(scorer, key):
  """The left half of the image is brighter than expected, the right half darker."""
  keys = jax.random.split(key, 2)
  expected = 0.5 + 0.2 * jax.random.uniform(keys[0], (1, 16, 16, 1))
  left = jnp.arange(16)[None, :, None, None] < 8
  image = expected + jnp.where(left, 0.3, -0.3) * jnp.ones_like(expected)

  def infer(params, stats, batch, key):
    same = batch['image'] * 0 + expected
    return {
      'reconstruction': same,
      'reconstruction_log_variance': jnp.zeros_like(same),
      'reconstruction_responses': batch['image'] - same,
      'features': jnp.concatenate([batch['image'], 1 - batch['image']], -1),
      'healed': same[:, None],
      'heal_mask': jnp.ones_like(same)[:, None],
      'posterior': jnp.full_like(same, 0.5),
      'elbo': -((batch['image'] - same) ** 2).sum((1, 2, 3)),
    }

  batch = {'image': image, 'mask': jnp.ones_like(image)}
  bound = bind(Method(None, {}, infer), {}, {})
  options = SIGNED[scorer]
  maps = {
    sign: named('scores', scorer)(sign=sign, **options)(bound, batch, key)
    for sign in ('bright', 'dark')
  }
  if scorer == 'restoration':  # no step: the image itself is restored
    assert not maps['bright'].any() and not maps['dark'].any()
    return
  for sign, high in (('bright', left), ('dark', ~left)):
    inside = jnp.broadcast_to(high, maps[sign].shape)
    assert maps[sign][inside].min() >= maps[sign][~inside].max()
    assert maps[sign][inside].mean() > maps[sign][~inside].mean()


def data(**changes):
  return {**base_config.PLACES, 'name': 'nifti_folder', **changes}


@pytest.mark.parametrize(
  'options, expected',
  [
    ({}, 'both'),
    ({'contrast': 't1'}, 'both'),
    ({'contrast': 'flair'}, 'bright'),
    ({'contrast': 't2'}, 'bright'),
    ({'contrast': 'flair', 'polarity': 'both'}, 'both'),
    ({'polarity': 'dark'}, 'dark'),
  ],
)
def test_the_polarity_follows_the_contrast_unless_it_is_set(options, expected):
  assert registry.polarity(data(**options)) == expected
  plain = registry.plain(ConfigDict({'data': data(**options)}))
  assert plain['data'].get('polarity', 'both') == expected


def test_a_polarity_of_both_leaves_the_hash_of_a_config_as_it_was():
  config = base_config.get_config('demo')
  before = ConfigDict(config.to_dict())
  del before.data.polarity
  assert registry.digest(config) == registry.digest(before)
  config.data.polarity = 'bright'
  assert registry.digest(config) != registry.digest(before)


def test_methods_and_scorers_get_the_polarity_of_the_data(monkeypatch):
  path = ROOT / 'configs' / 'dae_unc.py'
  config = registry.read_config(path, 'stroke_flair64')
  assert registry.polarity(config.data) == 'bright'
  seen = {}

  def record(what, make, options, **fixed):
    seen[what] = dict(options)
    return Method(None, {}, None)

  monkeypatch.setattr(experiment, 'call', record)
  config.scores.zzz = dict(scorer='residual', sign='dark')
  config.adapt = ConfigDict()
  experiment.make_method(config, (64, 64), 1)
  assert seen["method 'dae_unc'"]['polarity'] == 'bright'
  experiment.make_scorers(config)
  assert seen["scorer 'residual'"]['sign'] == 'dark'  # its row comes last
  assert seen["scorer 'standardised'"]['sign'] == 'bright'
  config.data.polarity = 'both'
  experiment.make_scorers(config)
  assert 'sign' not in seen["scorer 'standardised'"]
