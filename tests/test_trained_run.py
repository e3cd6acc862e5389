"""A finished run is opened without its data, and evaluated on other data."""

import json
import shutil

import jax
import numpy as np
import pytest

from tests.data.heads import tree
from tests.small_run import world as world  # the finished run
from uad_jax import (
  experiment,
  other_cohort,
  prepared_data,
  resume,
  run_folder,
  trained_run,
)
from uad_jax.datasets.evaluation_data import evaluation_data


def test_a_run_is_opened_without_its_data(world, tmp_path):
  config, _, folder, _ = world
  copy = tmp_path / 'run'
  shutil.copytree(folder, copy)
  opened = trained_run.open_run(copy)
  assert int(opened.state.step) == sum(config.steps)
  start = resume.fresh_state(experiment.build(config))
  same = jax.tree.map(lambda a, b: np.shape(a) == np.shape(b), opened.state, start)
  assert jax.tree.all(same)
  moved = jax.tree.map(np.array_equal, opened.state.params, start.params)
  assert not jax.tree.all(moved)
  shutil.rmtree(copy / 'checkpoints')
  with pytest.raises(FileNotFoundError, match='no checkpoint to read'):
    trained_run.open_run(copy)
  (copy / 'model.json').unlink()
  with pytest.raises(FileNotFoundError, match='no model.json .* --checkpoint takes'):
    trained_run.open_run(copy)


def test_a_map_that_the_run_lacks_is_named(world):
  _, _, folder, _ = world
  with pytest.raises(ValueError, match="no map 'gate'; there are residual, standard"):
    trained_run.load(folder, 'gate')


@pytest.mark.parametrize('name', ['results', 'config', 'model'])
@pytest.mark.parametrize('content', ['cut', 'empty', 'list'])
def test_a_damaged_file_of_a_run_is_named(world, tmp_path, name, content):
  config, _, folder, _ = world
  copy = tmp_path / 'run'
  shutil.copytree(folder, copy)
  path = copy / f'{name}.json'
  whole = path.read_bytes()
  path.write_bytes(
    {'cut': whole[: len(whole) * 6 // 10], 'empty': b'', 'list': b'[1,2]'}[content]
  )
  with pytest.raises(ValueError, match=f'{path} is damaged'):
    trained_run.load(copy)
  with pytest.raises(ValueError, match=f'{path} is damaged'):
    run_folder.run(config, str(copy))


def test_on_its_own_test_scans_a_run_gets_its_own_results(world):
  # Oracle: the run's evaluation of the same scans.
  _, source, folder, _ = world
  before = json.loads((folder / 'results.json').read_text())
  text = other_cohort.evaluate_elsewhere(folder, str(source), {})
  (place,) = (folder / 'evaluations').iterdir()
  results = json.loads((place / 'results.json').read_text())
  assert text.endswith(str(place / 'report.html')) and (place / 'subjects.csv').exists()
  assert place.name == f'heads-{results["run"]["manifest"][:12]}'
  assert results['scorers'] == before['scorers']
  assert results['default'] == before['default']
  assert results['data'] == before['data']
  assert results['run']['config']['data']['source'] == str(source)
  assert json.loads((folder / 'results.json').read_text()) == before


def test_a_folder_without_splits_is_tested_whole(world, tmp_path):
  _, _, folder, _ = world
  tree(tmp_path / 'clinic', ['sub-10', 'sub-11'], '')
  changes = {'patterns': {'labels': 'derivatives/dlmuse/sub-*/anat/*_dseg.nii*'}}
  other_cohort.evaluate_elsewhere(folder, str(tmp_path / 'clinic'), changes)
  (place,) = (folder / 'evaluations').glob('clinic-*')
  assert json.loads((place / 'results.json').read_text())['data']['subjects'] == 2


def test_mistakes_in_the_other_data_are_named(world, tmp_path):
  _, source, folder, _ = world
  with pytest.raises(
    ValueError, match="'brtas' is neither a folder nor a data set; th"
  ):
    other_cohort.evaluate_elsewhere(folder, 'brtas', {})
  with pytest.raises(ValueError, match="no split 'few'; there are train, val, test"):
    other_cohort.evaluate_elsewhere(folder, str(source), {'split': 'few'})
  with pytest.raises(ValueError, match='takes no .colour.'):
    other_cohort.evaluate_elsewhere(folder, str(source), {'colour': 'red'})
  with pytest.raises(ValueError, match=r'are \(64, 64, 1\) and those of the run \(16,'):
    other_cohort.evaluate_elsewhere(folder, 'sim_brain', {'config': 'demo'})


def test_a_cohort_takes_the_runs_preprocessing(world, tmp_path):
  _, _, folder, _ = world
  opened = trained_run.open_run(folder)
  training = {'name': 'ixi', 'contrast': 't2', 'dir': str(tmp_path)}
  other = evaluation_data('brats/val', training, opened.card['steps'], {'source': '/x'})
  assert (other.label, other.split) == ('brats', 'val')
  builder = prepared_data.make_builder(other.options)
  steps = json.loads(json.dumps(builder.scan_steps()))
  assert steps == opened.card['steps'] and other.options['contrast'] == 't2'
  assert tuple(builder.info.features['image'].shape) == (16, 16, 1)


def test_the_test_split_is_decided_after_the_training(world, capsys):
  config, _, folder, _ = world
  copy = folder.with_name('other_test')
  shutil.copytree(folder, copy)
  other = config.copy_and_resolve_references()
  other.data.test = 'val'
  run_folder.run(other, str(copy))
  assert 'already trained' in capsys.readouterr().err
  results = json.loads((copy / 'results.json').read_text())
  assert results['data']['subjects'] == 1
  other.data.val = 'test'
  with pytest.raises(ValueError, match='data.val was val, now test'):
    run_folder.run(other, str(copy))
