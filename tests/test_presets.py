"""Every config with the settings of papers can be made, and its demo is small."""

import inspect
import pathlib
import re

import jax
import pytest

from tests.config_table import FILES, PRESET_ROWS, PRESETS, PUBLISHED, SHAPES
from tests.method_table import make_batch
from uad_jax import experiment, registry
from uad_jax.comparison.benchmark_rows import read_config

pytestmark = pytest.mark.usefixtures('in_the_project')


@pytest.mark.parametrize('name, method', PRESET_ROWS)
@pytest.mark.parametrize(
  'data', ['', ':demo', ':slices', ':ixi', ':ixi128', ':folder', ':cohort']
)
def test_a_preset_can_be_made(name, method, data):
  config = read_config(name, method + data)
  shape = tuple(config.data.get('shape', ())) or SHAPES[data[1:] or 'slices']
  made = experiment.make_method(config, shape, 1)
  experiment.make_optimisers(config, made)
  assert list(experiment.make_scorers(config))
  stages = {objective.stage for objective in made.objectives.values()}
  assert stages == set(range(len(config.steps)))
  # All of them are there, or the command line could not change them.
  make = registry.named('methods', config.method.name)
  switches = set(inspect.signature(make).parameters) - {'shape', 'channels'}
  assert switches == set(config.method) - {'name'}
  if data == ':cohort':  # where the paper's own shape need not suit the network
    jax.eval_shape(made.init, jax.random.key(0), make_batch(shape, 1))


@pytest.mark.parametrize('name', PRESETS)
def test_a_preset_tells_its_command_its_methods_and_what_it_does_not_know(name):
  text = pathlib.Path(f'configs/{name}.py').read_text()
  assert f'--config=configs/{name}.py:' in text
  assert all(f'`{method}`' in text for method in PRESETS[name])
  with pytest.raises(ValueError, match="unknown method 'gan'; there are"):
    read_config(name, 'gan')
  with pytest.raises(ValueError, match="unknown data 'mars'; there are"):
    read_config(name, f'{PRESETS[name][0]}:mars')


@pytest.mark.parametrize('name', PRESETS)
def test_a_presets_argument_may_name_the_data_alone_or_nothing(name):
  first = PRESETS[name][0]
  assert read_config(name, 'demo') == read_config(name, f'{first}:demo')
  assert read_config(name, '') == read_config(name, f'{first}:slices')
  assert read_config(name, 'demo') != read_config(name, f'{PRESETS[name][-1]}:demo')


@pytest.mark.parametrize('method', PRESETS['novelty_papers'])
def test_the_papers_sizes_are_for_large_slices_alone(method):
  small, large = (read_config('novelty_papers', f'{method}:{d}') for d in ('ixi', ''))
  assert small == read_config(method, 'ixi')
  assert sum(large.steps) >= 20_000 and not large.optimisers
  sizes = []
  for config, shape in ((small, (64, 64)), (large, (128, 128))):
    init = experiment.make_method(config, shape, 1).init
    params, _ = jax.eval_shape(init, jax.random.key(0), make_batch(shape, size=1))
    sizes.append(sum(x.size for x in jax.tree.leaves(params)))
  assert sizes[0] < sizes[1] or method in ('patchcore', 'padim')


@pytest.mark.parametrize(
  'method, options',
  [
    ('deep_svdd', dict(decay=1e-6)),
    ('soft_introvae', dict(beta_rec=0.5, beta_neg=128.0, embedding=0.005)),
    ('feature_transformer', dict(width=256, neighbours=7)),
    ('gpnd', dict(latent=16, power=0.2)),
    ('lsa', dict(latent=64, bins=100)),
  ],
)
def test_a_novelty_detector_has_the_papers_constants(method, options):
  config = read_config('novelty_papers', method)
  assert {name: config.method[name] for name in options} == options


def test_every_config_named_by_a_paper_is_a_preset():
  named = {name for name in FILES if name[-4:].isdigit()}
  assert named == set(PUBLISHED)


@pytest.mark.parametrize('name', PUBLISHED)
def test_a_demo_is_smaller_than_what_was_published(name):
  small, large = (read_config(name, arg) for arg in ('demo', 'slices'))
  assert sum(small.steps) <= 2500 < sum(large.steps)
  sizes = []
  for config, shape in ((small, (64, 64)), (large, (128, 128))):
    init = experiment.make_method(config, shape, 1).init
    params, _ = jax.eval_shape(init, jax.random.key(0), make_batch(shape, size=1))
    sizes.append(sum(x.size for x in jax.tree.leaves(params)))
  assert 3 * sizes[0] < sizes[1] and sizes[0] < 1_500_000
  text = pathlib.Path(f'configs/{name}.py').read_text()
  # A published number, or that there is none to quote.
  published = text.partition('Published')[2].partition('"""')[0]
  assert 'demo' in text
  assert re.search(r'0\.\d|could\s+not\s+be\s+read', published)


@pytest.mark.parametrize('name', [name for name, small in PUBLISHED.items() if small])
def test_a_demo_has_the_sizes_of_the_small_config(name):
  config, small = read_config(name, 'demo'), read_config(PUBLISHED[name], 'demo')
  assert config.method.widths == small.method.widths
  assert sum(config.steps) <= sum(small.steps)
  assert config.batch_size <= small.batch_size
  assert config.optimiser.learning_rate == small.optimiser.learning_rate
  rates = {own.get('learning_rate') for own in config.optimisers.values()}
  assert rates <= {None}  # of single objectives there is none of the full size
  # The full size has nothing of it.
  assert read_config(name, 'slices').method.widths != small.method.widths
