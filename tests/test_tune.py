"""Trials of settings: what is changed, what is kept, what the page tells."""

import json
import pathlib
import shutil

import pytest

from tests.data.heads import tree
from tests.small_run import SUBJECTS, make_config
from uad_jax import base_config, resume, tune
from uad_jax.comparison import tuning_page


def test_changes_are_done_to_a_copy():
  config = base_config.get_config('demo')
  found = tune.with_changes(
    config, "steps=(7,); optimiser.learning_rate=1e-4; data.test='x'"
  )
  assert found.steps == (7,) and found.optimiser.learning_rate == 1e-4
  assert found.data.test == 'x' and config.steps == ()
  assert tune.with_changes(config, '').to_dict() == config.to_dict()


@pytest.mark.parametrize('change', ['stepps=(7,)', 'batch_size=many', 'batch_size="8"'])
def test_a_change_that_cannot_be_done_is_named(change):
  with pytest.raises(ValueError, match='cannot change the config by') as error:
    tune.with_changes(base_config.get_config('demo'), change)
  assert change in str(error.value)


def test_a_trial_is_told_by_what_it_has_otherwise_than_today():
  today = {'steps': [5], 'method': {'a': 1, 'b': 2}, 'scores': {}}
  trained = {'steps': [7], 'method': {'a': 1}, 'scores': {'residual': {}}}
  assert tuning_page.changes_from(today, trained) == 'method.b=absent; steps=[7]'
  assert tuning_page.changes_from(today, today) == ''


def test_a_map_is_told_by_the_options_it_has_otherwise_than_today():
  today = {'ssim': {'scorer': 'ssim'}, 'slow': {'scorer': 'restoration', 'steps': 9}}
  scores = {
    'ssim': {'scorer': 'ssim'},
    'slow': {'scorer': 'restoration', 'steps': 5},
    'other': {'scorer': 'restoration', 'steps': 9, 'weight': 2.0},
    'same': {'scorer': 'restoration', 'steps': 9},
    'rare': {'scorer': 'healing', 'looks': 3},
  }
  found = {name: tuning_page.label(name, scores, today) for name in (*scores, 'gone')}
  assert found == {
    'ssim': 'ssim',
    'slow': 'slow (steps=5)',
    'other': 'slow (weight=2.0)',
    'same': 'slow',
    'rare': 'healing (looks=3)',
    'gone': 'gone',
  }
  assert tuning_page.label('ssim', {}, today) == 'ssim'
  assert tuning_page.label('slow', {}, today) == 'slow (options not kept)'


def test_the_best_trial_stands_first():
  low = {'changes': 'steps=[1]', 'auprc': {'a': 0.1, 'b': 0.2}, 'steps': 1}
  high = {'changes': '', 'auprc': {'a': 0.3, 'b': 0.05}, 'steps': 2, 'seconds': 90.0}
  lines = tuning_page.table([low, high]).splitlines()
  assert lines[2] == '| as it is | a 0.300, b 0.050 | 2 | 1.5 |'
  assert lines[3] == '| steps=[1] | b 0.200, a 0.100 | 1 | 0.0 |'


@pytest.mark.slow
def test_a_trial_is_trained_once_and_never_reads_the_test_split(tmp_path, monkeypatch):
  names = [split for split, n in SUBJECTS.items() for _ in range(n)]
  subjects = [f'sub-{i:02d}' for i in range(len(names))]
  rows = ''.join(f'{s}\t{n}\n' for s, n in zip(subjects, names, strict=True))
  tree(tmp_path / 'heads', subjects, f'participant_id\tsplit\n{rows}')
  config = make_config(tmp_path / 'heads', tmp_path / 'data')
  config.data.test = 'absent'
  found = tune.run_trial('vae:folder', config, 'steps=(4,)', tmp_path / 'runs')
  assert found['steps'] == 4 and set(found['auprc']) == {'residual', 'standardised'}
  assert all(0 <= value <= 1 for value in found['auprc'].values())
  (folder,) = (tmp_path / 'runs').iterdir()
  (stored,) = folder.glob('trial-*.json')
  assert json.loads(stored.read_text()) == found

  monkeypatch.setattr(resume, 'trained', None)
  again = tune.run_trial('vae:folder', config, 'steps=(4,)', tmp_path / 'runs')
  assert again == found


def test_without_trials_there_is_no_page(tmp_path):
  with pytest.raises(FileNotFoundError, match='holds no trial'):
    tuning_page.render(tmp_path, tmp_path / 'tuning.md')
  assert not (tmp_path / 'tuning.md').exists()


def trial(**more):
  """A trial as it is kept."""
  return {'config': 'a:demo', 'trained': {'steps': [1]}, 'scores': {}, **more}


def test_a_fresh_trial_replaces_that_of_its_training_and_its_maps():
  maps = {'residual': {'scorer': 'residual'}}
  named, other = trial(), trial(trained={'steps': [2]})
  fresh, wide = trial(scores=maps), trial(scores=maps | {'ssim': {'scorer': 'ssim'}})
  assert tuning_page.merge([named, other], [fresh]) == [other, fresh]
  assert tuning_page.merge([fresh | {'seconds': 1.0}], [fresh]) == [fresh]
  assert tuning_page.merge([fresh], [wide]) == [fresh, wide]
  assert tuning_page.merge([trial(config='b:demo')], [fresh])[0]['config'] == 'b:demo'


def test_the_page_of_the_project_is_what_its_trials_render(tmp_path, in_the_project):
  for name in ('tuning.md', tuning_page.RECORDS):
    shutil.copy(pathlib.Path('docs') / name, tmp_path / name)
  tuning_page.render(tmp_path / 'runs', tmp_path / 'tuning.md')
  for name in ('tuning.md', tuning_page.RECORDS):
    assert (tmp_path / name).read_text() == (pathlib.Path('docs') / name).read_text()
