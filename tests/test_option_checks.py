"""Every option of a config is checked before any work, in one sentence."""

import json
import pathlib

import pytest

from tests.config_table import FILES
from tests.conftest import ROOT
from uad_jax import base_config, experiment, prepared_data, registry, run_folder
from uad_jax.data import manifest, mixing
from uad_jax.datasets import option_checks
from uad_jax.evaluation import run_options

NAN = float('nan')
WRONG = {
  # Option: wrong values. All options of the data configs and of the run stand here.
  'seed': (-1, 0.5, True, 'a'),
  'batch_size': (0, -4, 2.5, '4'),
  'steps': ((-5,), (2.5,), 7, ('3',), (True,)),
  'method': ({'name': 'vea'}, {'name': 'vae', 'latnet': 1}),
  'adapt': ({'emma': {}}, {'ema': {'decay': 5}}),
  'optimiser': tuple(
    {'name': 'adamw', 'learning_rate': 1e-3, 'schedule': 'cosine', 'warm_up': 0.1,
     'weight_decay': 0.0, 'clip': 1.0} | change
    for change in (
      {'name': 'adan'}, {'schedule': 'cos'}, {'learning_rate': 0.0},
      {'learning_rate': NAN}, {'learning_rate': -1e-3}, {'warm_up': 1.5},
      {'weight_decay': -1.0}, {'clip': -1.0}, {'clip': float('inf')},
    )
  ),
  'optimisers': ({'model': {'learning_rate': 0.0}}, {'model': {'rate': 1.0}},
                 {'modle': {'clip': 1.0}}),
  'scores': ({}, {'a': {'scorer': 'residul'}}, {'a': {}}),
  'variants': ({'low': {'strength': NAN}}, {'low': 3}, {'low': {'opne': 0.0}}),
  'medians': ((4,), (1,), (2.5,), ('5',)),
  'variant_scores': (('absent',),),
  'postprocess': ('medien', ''),
  'resamples': (0, -1, 1.5),
  'log_every': (0,),
  'save_every': (0, -1),
  'data.name': ('nifti', ''),
  'data.source': ('', 'no/such/folder', __file__),
  'data.dir': ('', __file__, f'{__file__}/data'),
  'data.layout': ('dicom',),
  'data.patterns': (
    {'image': ''}, {'image': 3}, {'image': '/a/*.nii'}, {'img': '*'},
    {'lesion_values': ()}, {'lesion_values': (0,)}, {'lesion_values': 'one'},
  ),
  'data.job': (
    {'spacing': 0.0}, {'spacing': -3.0}, {'spacing': NAN}, {'spacing': 1e-9},
    {'spacing': 500}, {'spacing': 20.5},
    {'shape': (64, 64.5)}, {'shape': (0,)}, {'shape': (64, 0)}, {'shape': (8,)},
    {'shape': (-64, 64)}, {'shape': 64}, {'shape': ()}, {'shape': (8, 8, 8, 8)},
    {'intensity': 'percentiles'}, {'align': 2}, {'fraction': -0.1}, {'fraction': 2},
    {'size': 3},
  ),
  'data.keep_going': ('no', 1),
  'data.workers': (0, 1.5),
  'data.fractions': ({}, {'train': -1.0}, {'train': 0.0, 'val': 0.0}, 3),
  'data.domain': (),  # any text
  'data.polarity': ('up',),
  'data.train': ('', ' ', 'trian', '2*', 'x/train'),
  'data.val': ('', 'vall', '0.5*val'),
  'data.test': ('', 'tset'),
  'data.selection': ('pianted', '*'),
}  # fmt: skip
"""Wrong values of each option."""


@pytest.fixture
def config(tmp_path):
  """A config with a folder of four files, which are not read."""
  for subject in 'ABCD':
    path = tmp_path / f'scans/sub-{subject}/anat/sub-{subject}_T1w.nii.gz'
    path.parent.mkdir(parents=True)
    path.write_bytes(b'')
  rows = [f'sub-{s}\t{split}' for s, split in zip('ABCD', SPLITS, strict=True)]
  table = '\n'.join(['participant_id\tsplit', *rows])
  (tmp_path / 'scans/participants.tsv').write_text(table + '\n')
  config = base_config.get_config('folder')
  config.data.source, config.data.dir = str(tmp_path / 'scans'), str(tmp_path / 'data')
  config.data.job = dict(shape=(16, 16), spacing=12.0)
  config.data.fractions, config.data.workers = dict(train=1.0), 1
  config.method.update(name='vae', widths=(8, 8), latent=2)
  config.scores.residual = dict(scorer='residual')
  config.steps, config.batch_size = (2,), 4
  return config.unlock()


SPLITS = ('train', 'train', 'val', 'test')


def with_value(config, key, value):
  *groups, name = key.split('.')
  place = config
  for group in groups:
    place = place[group]
  with place.ignore_type():
    place[name] = value
  return config


def test_the_config_itself_passes(config):
  assert experiment.plan(config).stage_ends == (2,)


@pytest.mark.parametrize(
  'key, value',
  [(key, value) for key, values in WRONG.items() for value in values],
  ids=lambda x: str(x).replace('/', '|')[-40:],
)
def test_a_wrong_option_is_named_before_any_work(config, tmp_path, key, value):
  with pytest.raises(ValueError) as error:
    run_folder.run(with_value(config, key, value), str(tmp_path / 'run'))
  sentence = str(error.value)
  names = [key.split('.')[-1], str(value).strip("()',")]
  if isinstance(value, dict):
    names += [word for pair in value.items() for word in map(str, pair)]
  assert any(name in sentence for name in names if name), sentence
  assert '\n' not in sentence and len(sentence) < 400
  words = ('allowed', 'there are', 'there is', 'takes', 'give', 'has')
  assert any(word in sentence for word in words), sentence
  assert [path.name for path in tmp_path.iterdir()] == ['scans']


def test_every_option_has_wrong_values():
  keys = set()
  for arg in ('folder', 'ixi'):
    config = base_config.get_config(arg)
    keys |= {*config} | {f'data.{key}' for key in config.data}
  assert keys - {'data'} <= set(WRONG)


@pytest.mark.parametrize(
  'key, value',
  [
    ('shape', (128, 128.5)), ('shape', (0, 9)), ('shape', (9,)), ('spacing', -2.0),
    ('spacing', 1e-9), ('spacing', 500.0), ('atlas', 'no/atlas.nii'),
    ('keep_going', 0), ('workers', 0), ('beam', 'yes'), ('source', 'no/such/folder'),
    ('name', 'ixj'), ('contrast', 't9'),
    ('form', 'slice'), ('preset', 'x'), ('bias', 'n5'),
  ],
)  # fmt: skip
def test_a_wrong_option_of_a_cohort_is_named(tmp_path, key, value):
  config = base_config.get_config('cohort').unlock()
  config.data.dir = str(tmp_path)
  with config.data.ignore_type():
    config.data[key] = value
  with pytest.raises(ValueError, match=str(value).strip('()').rstrip(',')):
    prepared_data.make_builders(registry.plain(config)['data'])


def test_defaults_of_a_cohort_pass(tmp_path):
  data = registry.plain(base_config.get_config('cohort'))['data']
  option_checks.check_data_set(data | {'dir': str(tmp_path)}, 'config.data')


@pytest.mark.parametrize('change', [{'latent': -1}, {'latent': 0}, {'widths': (8, 0)}])
def test_sizes_that_no_network_has_are_told_with_the_options(config, change):
  config.method.update(change)
  with pytest.raises(ValueError) as error:
    run_folder.checked_infer(experiment.plan(config))
  sentence = str(error.value)
  assert "method 'vae' cannot be made for images of the shape (16, 16, 1)" in sentence
  assert f"'{next(iter(change))}'" in sentence and '\n' not in sentence


def test_a_network_that_would_never_move_is_refused(config):
  config.steps = (0,)
  with pytest.raises(ValueError, match=r'config.steps\[0\] is 0; allowed is a'):
    experiment.plan(config)
  config.method = {'name': 'atlas'}
  with pytest.raises(ValueError, match=r'config.steps\[0\] is 0; .* would be learned'):
    experiment.plan(config)


def test_a_split_without_subjects_is_told_with_those_that_there_are(config):
  table = pathlib.Path(config.data.source, 'participants.tsv')
  table.write_text(table.read_text().replace('\tval', '\ttrain'))
  with pytest.raises(ValueError) as error:
    experiment.plan(config)
  assert str(error.value) == (
    "dataset 'nifti_folder' has no split 'val'; there are train, test in its 4 scans; "
    'set --config.data.val to one of these, or name splits in a table of subjects in '
    f'{config.data.source}'
  )


def test_a_missing_source_is_told_with_its_flag(config):
  config.data.source = ''
  with pytest.raises(ValueError, match='by --config.data.source=DIR'):
    experiment.plan(config)
  changes = {'source': 'none/here', 'dir': 'nothing/prepared'}
  data = registry.plain(base_config.get_config('ixi'))['data'] | changes
  with pytest.raises(ValueError, match='prepare lesions` makes one'):
    option_checks.check(data)


@pytest.mark.parametrize('name', ['nifti_folder', 'image_folder'])
def test_only_data_prepared_of_this_source_stand_for_a_missing_one(tmp_path, name):
  data = registry.plain(base_config.get_config('folder'))['data']
  data |= {'name': name, 'dir': str(tmp_path / 'data'), 'patterns': {}, 'job': {}}
  volume = {'subject': 'a', 'session': '', 'split': 'train', 'sha256': ''}
  folder = tmp_path / 'data' / name / 'scans-16x16-0a1b2c3d' / '1.0.0'
  folder.mkdir(parents=True)
  content = manifest.make({'source': str(tmp_path / 'scans')}, [volume])
  manifest.write(content, str(folder))
  option_checks.check(data | {'source': str(tmp_path / 'scans')})
  with pytest.raises(ValueError) as error:
    option_checks.check(data | {'source': str(tmp_path / 'other')})
  assert str(error.value) == (
    f'config.data.source is {tmp_path}/other, which is missing; allowed is a folder '
    'with scans'
  )


def test_prepared_data_of_a_cohort_do_not_depend_on_its_folder(tmp_path):
  data = registry.plain(base_config.get_config('cohort'))['data']
  data |= {'dir': str(tmp_path), 'source': str(tmp_path / 'gone')}
  with pytest.raises(ValueError, match='gone, which is missing'):
    option_checks.check(data)
  volume = {'subject': 'a', 'session': '', 'split': 'train', 'sha256': ''}
  folder = tmp_path / 'ixi' / 't1-slices' / '1.0.0'
  folder.mkdir(parents=True)
  manifest.write(manifest.make({'cohort': 'ixi'}, [volume]), str(folder))
  option_checks.check(data)


def test_a_folder_that_cannot_be_written_is_told_with_its_flag(config, monkeypatch):
  monkeypatch.setattr(option_checks.os, 'access', lambda *a: False)
  with pytest.raises(ValueError, match='such as --config.data.dir=DIR'):
    experiment.plan(config)


def test_all_shipped_configs_pass(tmp_path, in_the_project):
  count = 0
  for name in sorted(FILES):
    for arg in base_config.DATA:
      try:
        config = registry.read_config(ROOT / 'configs' / f'{name}.py', arg)
      except ValueError:  # not for these data
        continue
      settings = registry.plain(config)
      run_options.check(settings)
      settings['data']['dir'] = str(tmp_path)
      if 'source' in settings['data']:
        settings['data']['source'] = str(tmp_path)
      option_checks.check(settings['data'])
      assert json.dumps(mixing.chosen(settings['data']))
      count += 1
  assert count > 100
