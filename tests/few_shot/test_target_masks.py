"""Brain masks of target scans are estimated, unless their patterns are named."""

import json
import shutil

import pytest

from tests.data.heads import tree
from tests.small_run import world as world  # the finished run, trained with labels
from uad_jax import other_cohort, trained_run
from uad_jax.data.cohorts import versions
from uad_jax.few_shot import source_run
from uad_jax.few_shot.adapt import adapt
from uad_jax.few_shot.adapted_config import read_adaptation
from uad_jax.few_shot.target_scans import target_data, with_estimated_masks
from uad_jax.prediction import calibration
from uad_jax.report.atomic_files import read_json

LABELS = {'patterns': {'labels': 'derivatives/dlmuse/sub-*/anat/*_dseg.nii*'}}


@pytest.fixture(scope='module')
def clinic(tmp_path_factory):
  return tree(tmp_path_factory.mktemp('masks') / 'clinic', ['sub-50', 'sub-51'])


def entries_of(builder, folder):
  return versions.entries_of(builder.builder_config, str(folder))


def test_patterns_of_masks_are_not_those_of_the_source_run(world, clinic):
  opened = trained_run.open_run(world[2])
  _, builder = target_data(opened, str(clinic), {}, False)
  assert not any(entry.labels or entry.mask for entry in entries_of(builder, clinic))
  _, builder = target_data(opened, str(clinic), LABELS, False)
  assert all(entry.labels for entry in entries_of(builder, clinic))


def test_labels_beside_inserted_lesions_are_left_out(world, tmp_path):
  place = tree(tmp_path / 'heads', ['sub-52'])
  shutil.move(place / 'derivatives/dlmuse', place / 'derivatives/labels')
  (place / 'derivatives/twin').mkdir()
  opened = trained_run.open_run(world[2])
  opened.config.data.layout = 'lesion_cohort'
  del opened.config.data.patterns
  _, builder = other_cohort.open_other(opened, str(place), {}, '--evaluate')
  assert entries_of(builder, place)[0].labels
  _, builder = target_data(opened, str(place), {}, False)
  assert entries_of(builder, place)[0].labels is None
  # A run that was adapted to them is tested on a folder without twins as well.
  (place / 'derivatives/twin').rmdir()
  opened.config.data.patterns = {'labelled': False}
  _, builder = other_cohort.open_other(opened, str(place), {}, '--evaluate')
  assert len(entries_of(builder, place)) == 1
  target, _ = target_data(opened, str(place), {}, False)
  assert (target.options['layout'], target.options['patterns']) == ('bids', {})


def test_other_patterns_stay_and_a_data_set_has_none(clinic):
  patterns = {'image': '*.nii', 'mask': 'm', 'labels': 'l', 'subject': None}
  data = {'name': 'nifti_folder', 'layout': 'bids', 'patterns': patterns}
  kept = {'patterns': {'image': '*.nii', 'subject': None}}
  assert with_estimated_masks(data, str(clinic), {}) == kept
  assert with_estimated_masks(data, str(clinic), LABELS) == LABELS
  assert with_estimated_masks(data, 'ixi', {'split': 'val'}) == {'split': 'val'}
  assert with_estimated_masks({'name': 'ixi'}, str(clinic), {}) == {}


def test_an_adapted_run_is_calibrated_as_predict_prepares_scans(
  world, clinic, tmp_path
):
  adapt(str(world[2]), read_adaptation('recalibration'), str(clinic), str(tmp_path))
  run = trained_run.load(tmp_path)
  # Oracle: the description of the scans as `predict` prepares them without a mask.
  entries = entries_of(
    target_data(trained_run.open_run(world[2]), str(clinic), {}, False)[1], clinic
  )
  pairs = [(entry, calibration.prepare(entry, run.steps)) for entry in entries]
  assert all(calibration.is_estimated(prepared.chain) for _, prepared in pairs)
  stacks = calibration.stacks_of(pairs, run)
  limits, described = calibration.healthy_ranges.measure(
    stacks, [run.scorer], run.postprocess
  )
  stored = read_json(tmp_path / 'results.json')['healthy_validation']
  assert stored['masses'][run.scorer]['1'] == pytest.approx(
    described['masses'][run.scorer]['1'], rel=1e-4
  )
  assert run.thresholds['1'] == pytest.approx(limits[run.scorer][1], rel=1e-4)


def test_named_masks_take_the_thresholds_of_scans_with_masks(world, tmp_path):
  copy = tmp_path / 'run'
  shutil.copytree(world[2], copy)
  results = read_json(copy / 'results.json')
  name = results['default']
  bare = {
    'results': results['run']['written'],
    'thresholds': {name: {'1': 9.0, '5': 8.0, '10': 7.0}},
  }
  (copy / 'prediction.json').write_text(json.dumps(bare))
  start = {'run': str(copy), 'step': 6, 'thresholds': 'source'}
  estimated = source_run.decisions(start, {'patterns': {'labels': ''}})
  assert estimated.thresholds[name][5] == 8.0
  stored = results['scorers'][name]['thresholds']['5']
  assert source_run.decisions(start, LABELS).thresholds[name][5] == stored != 8.0
