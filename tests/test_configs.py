"""Every config describes an experiment that can be made, and takes every argument."""

import inspect
import pathlib

import jax
import pytest

from tests.conftest import ROOT
from tests.test_methods import make_batch
from uad_jax import defaults, experiment, registry
from uad_jax.benchmark import ROWS, plan, read_config

PRESETS = {
  # config whose argument is METHOD or METHOD:DATA: its methods
  'baur2021': (
    'ae', 'ae_spatial', 'ae_bayesian', 'vae', 'vae_bayesian', 'cevae', 'gmvae',
    'gmvae_spatial',
  ),
}  # fmt: skip
FILES = {path.stem for path in (ROOT / 'configs').glob('*.py')}
CONFIGS = sorted(FILES - set(PRESETS))
PRESET_ROWS = [
  (name, method) for name, methods in PRESETS.items() for method in methods
]
SHAPES = {
  'demo': (64, 64), 'ixi': (64, 64), 'folder': (64, 64), 'slices': (128, 128),
  'ixi128': (128, 128), 'volumes': (96, 96, 96),
}  # fmt: skip


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch):
  monkeypatch.chdir(ROOT)


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


@pytest.mark.parametrize('name, method', PRESET_ROWS)
@pytest.mark.parametrize('data', ['', ':demo', ':slices', ':ixi128', ':folder'])
def test_a_preset_can_be_made(name, method, data):
  config = read_config(name, method + data)
  shape = SHAPES[data[1:] or 'slices']
  made = experiment.make_method(config, shape, 1)
  experiment.make_optimisers(config, made)
  assert list(experiment.make_scorers(config))
  stages = {objective.stage for objective in made.objectives.values()}
  assert stages == set(range(len(config.steps)))
  # All of them are there, or the command line could not change them.
  make = registry.named('methods', config.method.name)
  switches = set(inspect.signature(make).parameters) - {'shape', 'channels'}
  assert switches == set(config.method) - {'name'}


@pytest.mark.parametrize('name', PRESETS)
def test_a_preset_tells_its_command_its_methods_and_what_it_does_not_know(name):
  text = pathlib.Path(f'configs/{name}.py').read_text()
  assert f'--config=configs/{name}.py:' in text
  assert all(f'`{method}`' in text for method in PRESETS[name])
  with pytest.raises(ValueError, match="unknown method 'gan'; there are"):
    read_config(name, 'gan')
  with pytest.raises(ValueError, match="unknown data 'mars'; there are"):
    read_config(name, f'{PRESETS[name][0]}:mars')


@pytest.mark.parametrize(
  'method, golden',
  [
    ('ae', 1_625_777),
    ('ae_spatial', 1_358_241),
    ('vae', 1_756_977),
    ('cevae', 1_756_977),
  ],
)
def test_the_studys_sizes(method, golden):
  # Golden: Baur et al. 2021, counted from the layers (method card 1.1).
  config = read_config('baur2021', method)
  made = experiment.make_method(config, (128, 128), 1)
  params, _ = jax.eval_shape(
    made.init, jax.random.key(0), make_batch((128, 128), size=1)
  )
  assert sum(x.size for x in jax.tree.leaves(params)) == golden
  assert config.batch_size == 8 and config.optimiser.learning_rate == 1e-4


@pytest.mark.parametrize('name', CONFIGS)
def test_a_config_tells_its_command_and_every_switch(name):
  config = read_config(name, 'demo')
  text = pathlib.Path(f'configs/{name}.py').read_text()
  assert f'--config=configs/{name}.py' in text
  make = registry.named('methods', config.method.name)
  switches = set(inspect.signature(make).parameters) - {'shape', 'channels'}
  # All of them are there, or the command line could not change them.
  assert switches == set(config.method) - {'name'}


def test_unknown_arguments_are_named():
  with pytest.raises(ValueError, match="unknown argument 'mars'; there are demo"):
    defaults.get_config('mars')


def test_a_run_folder_is_named_by_config_and_seed():
  a, b = plan('demo', ['vae'], [0, 1], 'runs')
  again, _ = plan('demo', ['vae'], [0, 1], 'runs')
  assert a.folder == again.folder != b.folder
  with pytest.raises(ValueError, match="unknown row 'gan'"):
    plan('demo', ['gan'], [0], 'runs')
