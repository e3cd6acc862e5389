"""Thresholds for scans without a mask are set on scans prepared without one."""

import json

import numpy as np
import pytest

from tests.small_run import world as world  # the finished run
from uad_jax.data.preprocessing import preprocess
from uad_jax.domain_shift import statistics
from uad_jax.evaluation import healthy_ranges
from uad_jax.evaluation.decisions import BARE
from uad_jax.prediction import calibration, detection, reference, sidecar
from uad_jax.trained_run import load

CHAIN = [{'step': 'brain_mask', 'by': 'template'}]


@pytest.fixture(scope='module')
def calibrated(world):
  config, source, run, _ = world
  return source, run, calibration.calibrate(config, run, processes=1)


def test_it_takes_the_validation_scans_without_their_labels(calibrated, world):
  source, folder, count = calibrated
  assert count == 1
  (entry,) = calibration.bare_scans(world[0])
  assert entry.subject == 'sub-03' and entry.labels is None and entry.mask is None
  run = load(folder)
  prepared = calibration.prepare(entry, run.steps)
  assert calibration.is_estimated(prepared.chain)
  # oracle: the share of the scan itself that predict marks is the percentage
  content = json.loads((folder / BARE).read_text())
  limits = content['thresholds'][run.scorer]
  assert calibration.thresholds(run, prepared.chain) == limits != run.thresholds
  for percent, threshold in limits.items():
    found = detection.detect(prepared, run, threshold)
    assert found.marked.sum() / found.brain.sum() == pytest.approx(
      int(percent) / 100, abs=0.02
    )
  assert calibration.of_run(run, prepared.chain)['scans'] == 1


def test_scans_with_a_mask_keep_the_thresholds_of_the_evaluation(calibrated):
  _, folder, _ = calibrated
  run = load(folder)
  given = [{'step': 'brain_mask', 'by': 'labels'}]
  assert calibration.thresholds(run, given) == run.thresholds
  assert calibration.of_run(run, given) == {}
  assert reference.ranges(run, CHAIN) != reference.ranges(run, given)


def test_it_is_done_once_and_anew_after_another_evaluation(calibrated, world):
  config, _, folder, _ = world
  assert calibration.calibrate(config, folder, processes=1) == 0
  run = load(folder)
  before = sidecar.fingerprint(run, '5')
  path = folder / 'results.json'
  kept = path.read_text()
  results = json.loads(kept)
  results['run']['written'] = 'later'
  path.write_text(json.dumps(results))
  try:
    assert calibration.of_run(run, CHAIN) == {}
    assert calibration.thresholds(run, CHAIN) == run.thresholds
  finally:
    path.write_text(kept)
  (folder / BARE).rename(folder / 'aside.json')
  assert sidecar.fingerprint(run, '5') != before
  (folder / 'aside.json').rename(folder / BARE)


def test_a_run_on_given_masks_alone_is_left_as_it_is(world, monkeypatch, tmp_path):
  monkeypatch.setattr(calibration, 'bare_scans', lambda config, kept: [])
  (tmp_path / 'results.json').write_text('{"run": {"written": "x"}}')
  assert calibration.calibrate(world[0], tmp_path) == 0
  assert not (tmp_path / BARE).exists()


def test_no_data_set_is_prepared_to_find_the_scans(world, monkeypatch):
  monkeypatch.setattr(calibration.prepared_data, 'prepare', lambda builder: 1 / 0)
  assert len(calibration.bare_scans(world[0])) == 1


def test_quantiles_of_the_bare_scans_are_kept(calibrated):
  _, folder, _ = calibrated
  content = json.loads((folder / BARE).read_text())
  ranges = content['healthy_validation']['intensity']
  assert [*ranges] == [str(q) for q in healthy_ranges.QUANTILES]
  assert np.isfinite([*ranges.values()]).all()


def test_masses_and_statistics_are_those_of_a_prediction(calibrated, world):
  source, folder, _ = calibrated
  run = load(folder)
  (entry,) = calibration.bare_scans(world[0])
  labels = next(source.glob('derivatives/dlmuse/sub-03/anat/*'))
  bare = calibration.prepare(entry, run.steps)
  given = preprocess.prepare_scan(entry.image, run.steps, labels=labels)
  assert calibration.is_estimated(bare.chain)
  assert not calibration.is_estimated(given.chain)
  for prepared in (bare, given):
    # oracle: the components that predict measures in this scan
    stored = reference.ranges(run, prepared.chain)
    for percent, threshold in calibration.thresholds(run, prepared.chain).items():
      masses = detection.detect(prepared, run, threshold).components.masses
      (mass,) = stored['masses'][run.scorer][percent]
      assert mass == pytest.approx(masses[-1], rel=1e-5) and mass > 0
    kept = list(prepared.slices)
    expected = statistics.of_scan(prepared.image[:, :, kept], prepared.mask[:, :, kept])
    assert {n: [expected[n]] for n in stored['statistics']} == stored['statistics']


def test_stacks_of_a_scan_count_as_one_scan(calibrated, world):
  folder = calibrated[1]
  run = load(folder)._replace(slice_step=2)
  (entry,) = calibration.bare_scans(world[0])
  prepared = calibration.prepare(entry, run.steps)
  named = list(calibration.stacks_of([(entry, prepared)] * 2, run))
  assert [scan.name for scan in named] == ['sub-03'] * 4
  limits = {run.scorer: {5: run.thresholds['5']}}
  _, described = healthy_ranges.measure(
    named[:2], [run.scorer], run.postprocess, limits
  )
  detected = detection.detect(prepared, run, run.thresholds['5'])
  assert described['stacks'] == 2
  assert described['masses'][run.scorer]['5'] == [detected.components.masses[-1]]
