"""Each size in config.medians adds a filtered row for every row of the scores."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from uad_jax import base_config, experiment, inference, registry
from uad_jax.evaluation import run_options
from uad_jax.evaluation.changed_maps import Smoothed
from uad_jax.method import Method
from uad_jax.ops.filters import median


def config(medians):
  return ConfigDict(
    {
      'scores': {'bright': {'scorer': 'input_threshold'}},
      'medians': medians,
      'data': {'name': 'sim_brain'},
    }
  )


def test_rows_are_added_and_filtered_within_the_brain(key):
  scorers = experiment.make_scorers(config((3, 5)))
  assert [*scorers] == ['bright', 'bright_median3', 'bright_median5']
  image = jax.random.uniform(key, (2, 12, 12, 1), minval=0.5)
  mask = jnp.ones_like(image).at[:, :3].set(0.0)
  batch = {'image': image, 'mask': mask}
  method = Method(None, {}, lambda params, stats, batch, key: {})
  maps = inference.make_infer(method, scorers).maps({}, {}, batch, key)
  plain = maps['map/bright']
  for size in (3, 5):
    for example in range(2):
      inside = np.asarray(mask[example]) > 0
      lowest = plain[example][inside].min()
      filled = np.where(inside, plain[example], lowest)
      want = median(jnp.asarray(filled)[None], size)[0]
      np.testing.assert_array_equal(maps[f'map/bright_median{size}'][example], want)


def test_a_map_that_is_smoothed_is_made_once(key):
  calls = []

  def scorer(infer, batch, key):
    calls.append(1)
    return batch['image']

  scorers = {'plain': scorer, 'smooth': Smoothed(scorer, 3)}
  batch = {'image': jnp.ones((1, 4, 4, 1)), 'mask': jnp.ones((1, 4, 4, 1))}
  method = Method(None, {}, lambda params, stats, batch, key: {})
  maps = inference.make_infer(method, scorers).maps({}, {}, batch, key)
  assert len(calls) == 1 and {*maps} == {'map/plain', 'map/smooth'}
  np.testing.assert_array_equal(
    Smoothed(scorer, 3)(None, batch, key), maps['map/smooth']
  )


def test_no_medians_leave_the_hash_of_a_config_as_it_was():
  settings = base_config.get_config('demo')
  before = ConfigDict(settings.to_dict())
  del before.medians
  assert registry.fingerprint(settings) == registry.fingerprint(before)
  settings.medians = (5,)
  assert registry.fingerprint(settings) != registry.fingerprint(before)
  assert registry.digest(settings) == registry.digest(before)
  assert base_config.get_config('stroke_flair64').medians == (5,)


@pytest.mark.parametrize('size', [1, 4, 2.5])
def test_sizes_are_checked(size):
  settings = registry.plain(base_config.get_config('demo'))
  settings['scores'] = {'residual': {'scorer': 'residual'}}
  with pytest.raises(ValueError, match='config.medians'):
    run_options.check({**settings, 'medians': [size]}, 'config')
