"""Sizes and training of presets against the numbers that their papers give."""

import pathlib

import jax
import pytest

from tests.method_table import make_batch
from uad_jax import experiment
from uad_jax.comparison.benchmark_rows import read_config

pytestmark = pytest.mark.usefixtures('in_the_project')


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
