"""A finished run is adapted to heads of another scanner; the result is a run folder."""

import json
import shutil

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.data.heads import tree
from tests.small_run import world as world  # the finished run
from uad_jax import trained_run
from uad_jax.few_shot import source_run
from uad_jax.few_shot.adapt import adapt
from uad_jax.few_shot.adapted_config import check_source
from uad_jax.few_shot.adapted_config import read_adaptation as read
from uad_jax.other_cohort import evaluate_elsewhere
from uad_jax.report.atomic_files import read_json

LABELS = {'patterns': {'labels': 'derivatives/dlmuse/sub-*/anat/*_dseg.nii*'}}


@pytest.fixture(scope='module')
def clinic(tmp_path_factory):
  """Heads of another scanner: two for the adaptation, two for the test."""
  names = [f'sub-{i}' for i in range(20, 24)]
  splits = ('few_shot', 'few_shot', 'test', 'test')
  rows = [f'{name}\t{split}\n' for name, split in zip(names, splits, strict=True)]
  table = 'participant_id\tsplit\n' + ''.join(rows)
  return tree(tmp_path_factory.mktemp('clinic') / 'heads', names, table)


def leaves(state):
  return [np.asarray(leaf) for leaf in jax.tree.leaves(state.params)]


def test_thresholds_of_target_scans_and_an_untouched_model(world, clinic, tmp_path):
  _, _, run, _ = world
  workdir = tmp_path / 'adapted'
  text = adapt(
    str(run),
    read('recalibration'),
    str(clinic),
    str(workdir),
    changes=LABELS,
  )
  assert 'of the 2 scans adapted to' in text and str(workdir / 'report.html') in text
  before, after = trained_run.open_run(run), trained_run.open_run(workdir)
  for old, new in zip(leaves(before.state), leaves(after.state), strict=True):
    np.testing.assert_array_equal(old, new)
  results = read_json(workdir / 'results.json')
  assert results['data']['subjects'] == 2
  assert results['default'] == read_json(run / 'results.json')['default']
  # Oracle: 5 % of the voxels of the scans adapted to lie at the threshold or above.
  mean, _ = results['healthy_validation']['marked'][results['default']]['5']
  assert abs(mean - 0.05) < 0.01
  config = read_json(workdir / 'config.json')
  assert config['start'] == {'run': str(run), 'step': 6, 'thresholds': 'target'}
  assert config['data']['source'] == str(clinic)
  with pytest.raises(ValueError, match="adapted to 2 scans of the split 'few_shot'"):
    evaluate_elsewhere(workdir, str(clinic), {**LABELS, 'split': 'few_shot'})
  loaded = trained_run.load(workdir)
  assert loaded.thresholds == results['scorers'][results['default']]['thresholds']


@pytest.mark.slow
def test_finetuning_moves_only_the_chosen_layers_and_keeps_thresholds(
  world, clinic, tmp_path
):
  _, _, run, _ = world
  config = read('finetune:norms')
  config.steps, config.batch_size = (3,), 4
  workdir = tmp_path / 'adapted'
  adapt(str(run), config, str(clinic), str(workdir), 1, 5, changes=LABELS)
  before, after = trained_run.open_run(run), trained_run.open_run(workdir)
  moved, names = [], []
  flat = jax.tree_util.tree_flatten_with_path(before.state.params)[0]
  for (path, old), new in zip(flat, leaves(after.state), strict=True):
    names.append('/'.join(str(entry.key) for entry in path))
    moved.append(not np.array_equal(old, new))
  assert any(moved)
  assert all('Norm' in name for name, m in zip(names, moved, strict=True) if m)
  stored = read_json(run / 'results.json')['scorers']
  results = read_json(workdir / 'results.json')
  for name, entry in results['scorers'].items():
    assert entry['thresholds'] == stored[name]['thresholds']
  data = read_json(workdir / 'config.json')['data']
  assert (data['shots'], data['draw']) == (1, 5)
  assert read_json(workdir / 'model.json')['training']['subjects'] == 2
  assert results['healthy_validation']['scans'] == 1
  again = adapt(str(run), config, str(clinic), str(workdir), 1, 5, changes=LABELS)
  assert 'of the 1 scans adapted to' in again


@pytest.mark.slow
def test_a_histogram_is_matched_in_prediction_too(world, clinic, tmp_path):
  # Oracle: quantiles of the prepared scans against the landmarks of the source run.
  _, _, run, _ = world
  workdir = tmp_path / 'adapted'
  adapt(str(run), read('histogram'), str(clinic), str(workdir), changes=LABELS)
  landmarks = read_json(run / 'results.json')['healthy_validation']['landmarks']
  results = read_json(workdir / 'results.json')
  matched = results['healthy_validation']['landmarks']
  np.testing.assert_allclose(matched[1:-1], landmarks[1:-1], atol=0.03)
  steps = read_json(workdir / 'model.json')['steps']
  assert steps[-1][1]['how'] == 'histogram_match'


@pytest.mark.slow
def test_a_folder_without_splits_is_adapted_to_and_shown(world, tmp_path, capsys):
  _, _, run, _ = world
  tree(tmp_path / 'heads', ['sub-31', 'sub-32'])
  workdir = tmp_path / 'adapted'
  source = str(tmp_path / 'heads')
  adapt(str(run), read('recalibration'), source, str(workdir), changes=LABELS)
  assert 'no test subjects: the report shows' in capsys.readouterr().out
  assert read_json(workdir / 'results.json')['data']['subjects'] == 2


def test_mistakes_are_one_sentence_and_leave_nothing(world, clinic, tmp_path):
  _, _, run, _ = world
  workdir = tmp_path / 'adapted'

  def fails(match, name='recalibration', subjects=None, source=clinic, run=run, **more):
    changes = {**LABELS, **more}
    with pytest.raises((ValueError, OSError), match=match):
      adapt(str(run), read(name), str(source), str(workdir), subjects, 0, changes)
    assert not workdir.exists()

  fails('3 subjects are asked for; there are 2', subjects=3)
  fails('no statistics of each voxel', 'voxel_moments')
  fails('neither a folder nor a data set', source='nowhere')
  fails("no split 'val'", split='val')
  fails('has no config.json', run=tmp_path)
  sick = tmp_path / 'sick'
  shutil.copytree(clinic, sick)
  for subject in ('sub-20', 'sub-21', 'sub-22', 'sub-23'):
    labels = next((sick / 'derivatives/dlmuse' / subject).rglob('*_dseg.nii.gz'))
    place = sick / 'derivatives/lesions' / subject / 'anat'
    place.mkdir(parents=True)
    shutil.copyfile(labels, place / f'{subject}_mask.nii.gz')
  lesions = {'lesion': 'derivatives/lesions/sub-*/anat/*.nii.gz', 'lesion_values': [51]}
  patterns = LABELS['patterns'] | lesions
  fails('lesion masks in 2 subjects', source=sick, patterns=patterns)


def test_a_run_whose_inference_was_adapted_is_not_adapted_again(world):
  _, _, run, _ = world
  opened = trained_run.open_run(run)
  check_source(opened)
  config = {'few_shot': {'channel_moments': {}}, 'start': {'run': 'runs/first'}}
  opened = opened._replace(config=ConfigDict(config))
  with pytest.raises(ValueError, match='by channel_moments, .* undo; adapt runs/first'):
    check_source(opened)
  opened.config.few_shot = {'voxel_moments': {'support': 0.0}}
  check_source(opened)
  opened.config.few_shot.voxel_moments.support = 0.1
  with pytest.raises(ValueError, match='was adapted by voxel_moments, which another'):
    check_source(opened)


def test_a_source_run_that_went_on_is_refused(world, tmp_path):
  _, _, run, _ = world
  opened = trained_run.open_run(run)
  start = {'run': str(run), 'step': 5, 'thresholds': 'source'}
  with pytest.raises(
    ValueError, match='at training step 6, and config.start.step is 5'
  ):
    source_run.started(opened.state, start)


def test_a_network_of_another_size_is_named():
  new = {'params': {'a': np.zeros(3), 'b': np.zeros(2)}}
  with pytest.raises(ValueError, match=r'params.a of shape \(4,\)'):
    source_run.merged(new['params'], {'a': np.zeros(4)}, 'params')
  merged = source_run.merged(new['params'], {'a': np.ones(3)}, 'params')
  assert merged['a'].sum() == 3 and merged['b'].sum() == 0


def test_thresholds_for_estimated_masks_come_first(world, tmp_path):
  _, _, run, _ = world
  copy = tmp_path / 'run'
  shutil.copytree(run, copy)
  results = read_json(copy / 'results.json')
  name = results['default']
  bare = {
    'results': results['run']['written'],
    'thresholds': {name: {'1': 9.0, '5': 8.0, '10': 7.0}},
  }
  (copy / 'prediction.json').write_text(json.dumps(bare))
  start = {'run': str(copy), 'step': 6, 'thresholds': 'source'}
  assert source_run.decisions(start).thresholds[name] == {1: 9.0, 5: 8.0, 10: 7.0}
  bare['results'] = 'older'
  (copy / 'prediction.json').write_text(json.dumps(bare))
  stored = results['scorers'][name]['thresholds']['5']
  assert source_run.decisions(start).thresholds[name][5] == stored
