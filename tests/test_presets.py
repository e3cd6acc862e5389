"""Every config named by a paper: its sizes, and a demo of it that runs."""

import inspect
import json
import pathlib
import re

import jax
import numpy as np
import pytest

from tests.config_table import FILES, PRESETS, SHAPES
from tests.data.heads import tree
from tests.method_table import make_batch
from tests.small_run import make_config
from uad_jax import experiment, registry, run_folder
from uad_jax.benchmark import ROWS, read_config

pytestmark = pytest.mark.usefixtures('in_the_project')
PUBLISHED = {
  # every config named by a paper, with the small one whose sizes its demo has
  **dict.fromkeys(PRESETS),
  'chen2018': 'caae',
  'pinaya2021': 'vqvae_transformer',
  'kascenas2022': 'denoising_ae',
  'wyatt2022': 'ddpm',
}
PRESET_ROWS = [
  (name, method) for name, methods in PRESETS.items() for method in methods
]


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
  told = text.partition('Published')[2].partition('"""')[0]
  assert 'demo' in text and re.search(r'0\.\d|could not be read', told)


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


@pytest.fixture(scope='module')
def heads(tmp_path_factory):
  root = tmp_path_factory.mktemp('presets')
  splits = ('train', 'train', 'val', 'test')
  subjects = [f'sub-{i:02d}' for i in range(len(splits))]
  rows = [f'{s}\t{split}\n' for s, split in zip(subjects, splits, strict=True)]
  tree(root / 'heads', subjects, 'participant_id\tsplit\n' + ''.join(rows))
  return make_config(root / 'heads', root / 'data').data


def shrunk(config, data):
  """The config on small heads, in two steps a stage, of tiny networks."""
  tiny = {
    'widths': (8, 8),
    'latent': 4,
    'attention': 8,
    'hops': 2,
    'width': 8,
    'taps': 1,
  }
  tiny |= {
    'depth': 1,
    'heads': 2,
    'codes': 4,
    'size': 4,
    'rasters': 1,
    'critic': (8, 8),
  }
  config.method.update({k: v for k, v in tiny.items() if k in config.method})
  for row in config.scores.values():
    if 'steps' in row:
      row.steps = 2
  config.data, config.batch_size, config.resamples = data, 4, 20
  config.steps = (2,) * len(config.steps)
  config.log_every = config.save_every = 1
  return config


RUNS = [
  # config and argument; the slow ones are those whose method another row trains too
  *((name, 'demo') for name in PUBLISHED),
  *(
    pytest.param(name, f'{method}:demo', marks=pytest.mark.slow)
    for name, method in PRESET_ROWS
    if method != PRESETS[name][0]
  ),
  *(pytest.param(name, 'demo', marks=pytest.mark.slow) for name in ROWS),
]


@pytest.mark.parametrize('name, arg', RUNS)
def test_a_config_trains_scores_and_reports(name, arg, heads, tmp_path):
  config = shrunk(read_config(name, arg), heads)
  text = run_folder.run(config, str(tmp_path / 'run'))
  assert text.endswith('report.html')
  assert all(row in text for row in config.scores)
  assert (tmp_path / 'run' / 'report.html').stat().st_size > 10_000
  metrics = tmp_path / 'run' / 'metrics.jsonl'
  if not any(config.steps):
    assert not metrics.exists()
    return
  told = [json.loads(line) for line in metrics.read_text().splitlines()]
  every, last = (
    [v for line in lines for k, v in line.items() if k.endswith('/loss')]
    for lines in (told, told[-1:])
  )
  # A last stage that trains nothing has no loss to tell.
  objectives = experiment.make_method(config, (16, 16), 1).objectives.values()
  stage = max(objective.stage for objective in objectives)
  learns = any(o.trains for o in objectives if o.stage == stage)
  assert np.isfinite(every).all() and bool(last) == learns


@pytest.mark.parametrize(
  'method, golden',
  [
    ('ae', 1_625_777),
    ('ae_spatial', 1_358_241),
    ('vae', 1_756_977),
    ('cevae', 1_756_977),
    ('cae', 1_625_777),
    ('aae', 1_625_777),
    ('caae', 1_625_777),
  ],
)
def test_the_studys_sizes(method, golden):
  # Golden: Baur et al. 2021, counted from the layers (method card 1.1).
  config = read_config('baur2021', method)
  made = experiment.make_method(config, (128, 128), 1)
  params, _ = jax.eval_shape(
    made.init, jax.random.key(0), make_batch((128, 128), size=1)
  )
  params.pop('critic', None)  # beside the card's count
  assert sum(x.size for x in jax.tree.leaves(params)) == golden
  assert config.batch_size == 8 and config.optimiser.learning_rate == 1e-4


def test_the_critics_of_the_study_are_trained_as_there():
  # The method card's 1.2: 20 steps of a critic of codes, 5 of one of images.
  for method, steps in {'aae': 20, 'caae': 20, 'fanogan': 5, 'anovaegan': 5}.items():
    config = read_config('baur2021', method)
    made = experiment.make_method(config, (128, 128), 1)
    others = {o.every for n, o in made.objectives.items() if o.stage == 0}
    assert others == {1, steps} and config.optimiser.name == 'adam_critic'
    assert config.batch_size == 8 and config.optimiser.learning_rate == 1e-4
  assert read_config('baur2021', 'caae').method.critic == (100, 50)
  assert read_config('baur2021', 'aae').method.critic == (50, 50)


@pytest.mark.parametrize('name, golden', [
  # Golden: what the docstrings tell, of one contrast at 128 x 128.
  ('kascenas2022', 10_145_409),
  ('wyatt2022', 94_993_153),
])  # fmt: skip
def test_the_sizes_that_docstrings_tell(name, golden):
  made = experiment.make_method(read_config(name, 'slices'), (128, 128), 1)
  batch = make_batch((128, 128), size=1)
  params, _ = jax.eval_shape(made.init, jax.random.key(0), batch)
  assert sum(x.size for x in jax.tree.leaves(params)) == golden
  told = pathlib.Path(f'configs/{name}.py').read_text().replace('\n', ' ')
  assert f'{golden:,}'.replace(',', ' ') in told


@pytest.mark.parametrize('name, width, golden', [
  # Golden: counted by hand from card 2, of 256 x 256: dense layers between the last
  # grid, 16 x 16 x 256, and the code; the critic 200-400-1 on 128 values.
  ('encoder', 128, 16 * 16 * 256 * 128 + 128),
  ('decoder', 16 * 16 * 256, (128 + 1) * 16 * 16 * 256),
  ('critic', None, 129 * 200 + 201 * 400 + 401),
])  # fmt: skip
def test_chens_sizes(name, width, golden):
  config = read_config('chen2018', 'caae:cohort')
  made = experiment.make_method(config, (256, 256), 1)
  batch = make_batch((256, 256), size=1)
  params, _ = jax.eval_shape(made.init, jax.random.key(0), batch)
  found = params[name] if width is None else params[name]['Dense_0']
  assert sum(x.size for x in jax.tree.leaves(found)) == golden
  assert config.data.preset == 'chen2018' and config.method.critic_steps == 20
  assert config.batch_size == 64 and config.optimiser.learning_rate == 2e-5


def test_yous_sizes():
  config = read_config('you2019', 'gmvae:cohort')
  shape = tuple(config.data.shape)
  made = experiment.make_method(config, shape, 1)

  def latents(key):
    batch = make_batch(shape, size=1)
    outputs = made.infer(*made.init(key, batch), batch, key)
    return {name: outputs[name] for name in ('latent', 'latent_w', 'latent_c')}

  # The method card's 3: maps of one channel at a quarter of the image, 6 clusters.
  found = {k: v.shape for k, v in jax.eval_shape(latents, jax.random.key(0)).items()}
  assert found == {
    'latent': (1, 40, 50, 1), 'latent_w': (1, 40, 50, 1), 'latent_c': (1, 40, 50, 6),
  }  # fmt: skip
  assert config.data.preset == 'you2019' and config.postprocess == 'none'
  options = config.scores.restoration
  assert (options.weight, options.clip, options.steps) == (1.8, 100.0, 500)
  assert tuple(options.rates) == (5e-3, 2e-3) and options.switch == 100
  assert options.variant == 'you2019' and config.optimiser.learning_rate == 5e-5
  other = read_config('you2019', 'vae:cohort').scores.restoration
  assert (other.weight, other.clip) == (2.2, 50.0)
