"""Every config describes an experiment that can be made, and takes every argument."""

import functools
import inspect
import json
import pathlib

import jax
import pytest
from ml_collections import ConfigDict

from tests.config_table import FILES, PRESETS, SHAPES
from tests.conftest import ROOT
from tests.method_table import make_batch
from uad_jax import base_config, experiment, registry
from uad_jax.comparison.benchmark_rows import ROWS, plan, read_config

pytestmark = pytest.mark.usefixtures('in_the_project')
CONFIGS = sorted(FILES - set(PRESETS))


def test_there_is_a_config_for_every_row_of_the_tables():
  assert set(ROWS) <= set(CONFIGS)


@pytest.mark.parametrize('name', CONFIGS)
@pytest.mark.parametrize('arg', ['demo', 'ixi', 'ixi128', 'slices', 'folder'])
def test_a_config_can_be_made(name, arg):
  config = read_config(name, arg)
  method = experiment.make_method(config, SHAPES[arg], 1)
  experiment.make_optimisers(config, method)
  assert list(experiment.make_scorers(config))
  assert set(config.data) >= {'name', 'dir', 'train', 'val', 'test', 'selection'}
  stages = {objective.stage for objective in method.objectives.values()}
  assert stages == set(range(len(config.steps)))


ADVERTISED = [
  (name, arg)
  for name in CONFIGS
  for arg in SHAPES
  if f'`{arg}`' in (ROOT / 'configs' / f'{name}.py').read_text() or arg == 'demo'
]


OFTEN = ('demo', 'ixi', 'ixi3d', 'stroke_flair')


@functools.cache
def networks(settings, shape):
  """Names of the networks that are made and of those that are trained.

  Arguments whose data have one shape share the trace.
  """
  method = experiment.make_method(ConfigDict(json.loads(settings)), shape, 1)
  params, _ = jax.eval_shape(method.init, jax.random.key(0), make_batch(shape, 1))
  return set(params), {net for o in method.objectives.values() for net in o.trains}


@pytest.mark.parametrize(
  'name, arg',
  [
    pytest.param(name, arg, marks=() if arg in OFTEN else pytest.mark.slow)
    for name, arg in ADVERTISED
  ],
)
def test_the_networks_of_an_advertised_argument_suit_its_shape(name, arg):
  config = read_config(name, arg)
  shape = tuple(config.data.get('shape', ())) or SHAPES[arg]
  parts = {'method': config.method, 'adapt': config.adapt}
  settings = json.dumps({key: registry.plain(part) for key, part in parts.items()})
  made, trained = networks(settings, shape)
  assert made >= trained


@pytest.mark.parametrize('name', CONFIGS)
def test_a_config_tells_its_command_and_every_switch(name):
  config = read_config(name, 'demo')
  text = pathlib.Path(f'configs/{name}.py').read_text()
  assert f'--config=configs/{name}.py' in text
  make = registry.named('methods', config.method.name)
  switches = set(inspect.signature(make).parameters) - {'shape', 'channels', 'polarity'}
  # All of them are there, or the command line could not change them.
  given = set(config.method) - {'name'}
  assert given == switches


def test_unknown_arguments_are_named():
  with pytest.raises(ValueError, match="unknown argument 'mars'; there are demo"):
    base_config.get_config('mars')


def test_a_run_folder_is_named_by_config_and_seed():
  a, b = plan('demo', ['vae'], [0, 1], 'runs')
  again, _ = plan('demo', ['vae'], [0, 1], 'runs')
  assert a.folder == again.folder != b.folder
  with pytest.raises(ValueError, match="unknown row 'gan'"):
    plan('demo', ['gan'], [0], 'runs')


def test_the_main_job_is_the_demo_in_fewer_steps():
  first, demo = (registry.plain(read_config('dae_unc', a)) for a in ('first', 'demo'))
  assert {key for key, _, _ in registry.differences(first, demo, 'nothing')} == {
    'steps'
  }
  assert sum(first['steps']) < 0.3 * sum(demo['steps'])


UNTRAINED = (
  'threshold', 'smoothing', 'atlas', 'moment_registration', 'patch_detector',
  'dae_unc_plain',
)  # fmt: skip
"""Rows without a network, and the one that is `dae_unc` without random contrasts."""


@pytest.mark.parametrize('name', [name for name in ROWS if name not in UNTRAINED])
def test_every_network_can_be_trained_on_random_contrasts(name):
  config, own = read_config('randomised', f'{name}:demo'), read_config(name, 'demo')
  assert config.adapt.randomise == ConfigDict(base_config.RANDOMISE)
  del config.adapt.randomise
  assert config == own
