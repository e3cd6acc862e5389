"""Prediction by a stream: each scan is decided once, and results hold the decision."""

import csv

import nibabel
import numpy as np
import pytest

from tests.online.synthetic_stream import leaves
from tests.prediction.stream.online_run import (
  STEMS,
  SUBJECTS,
  content_of,
  contents,
  predicted,
  saved,
)
from uad_jax.data.preprocessing import nifti, preprocess
from uad_jax.online import scan_decision, state_file, stream
from uad_jax.online.stream_settings import Settings
from uad_jax.online.stream_state import Scan
from uad_jax.prediction import (
  calibration,
  detection,
  online,
  online_maps,
  online_start,
)
from uad_jax.prediction.decision import BASE


@pytest.mark.slow
def test_a_stream_begins_on_the_healthy_scans_as_predict_prepares_them(
  run, state, entries
):
  first = saved(run, state)
  assert first.log == [] and first.stream.calibration.healthy == 9
  # Oracle: the maps of a healthy scan that predict would compute.
  prepared = preprocess.prepare_scan(
    entries[0].image, run.steps, labels=entries[0].labels
  )
  maps = online_start.healthy_maps(run, True, 1)[0]
  made = detection.detect(prepared, run, run.thresholds['5'])
  expected = (prepared.image[..., 0] - made.outputs['reconstruction']) * made.brain
  np.testing.assert_array_equal(maps.residual, expected)
  np.testing.assert_array_equal(maps.anomaly, made.scores)
  np.testing.assert_array_equal(maps.mask, made.brain)


def test_each_scan_is_observed_once_and_then_skipped(
  run, source, state, tmp_path, monkeypatch
):
  out = tmp_path / 'out'
  summary = predicted(run, source, out, state)
  assert summary[:3] == (3, 0, [])
  log = saved(run, state).log
  assert [line['step'] for line in log] == [0, 1, 2]
  few, flagged = summary.notes
  assert few.startswith('with 9') and flagged.startswith('of 3 scans the stream flags')
  before = contents(tmp_path)
  monkeypatch.setattr(stream, 'observe', lambda *_: 1 / 0)
  again = predicted(run, source, out, state)
  assert again[:3] == (3, 3, []) and again.notes == summary.notes
  assert contents(tmp_path) == before


def test_results_hold_the_decision_of_the_stream(run, source, state, tmp_path):
  out, now = tmp_path / 'out', saved(run, state).stream
  predicted(run, source, out, state)
  marked = 0
  for subject, stem in zip(SUBJECTS, STEMS, strict=True):
    # Oracle: the stream, played by hand on the maps of the prepared scans.
    scan = next((source / subject / 'anat').iterdir())
    labels = next(source.glob(f'derivatives/dlmuse/{subject}/anat/*'))
    prepared = preprocess.prepare_scan(scan, run.steps, labels=labels)
    made = detection.detect(prepared, run, run.thresholds[BASE])
    maps = online_maps.maps_of(prepared, made)
    now, decision, line = stream.observe(now, Scan(maps, subject, stem))
    content, low = content_of(out, stem), float(decision.anomaly.min())
    assert {k: v for k, v in content['online'].items() if k != 'components'} == line
    native = preprocess.restore(decision.anomaly, prepared, fill=low)
    written = nibabel.load(out / f'{stem}_anomaly.nii.gz').get_fdata()
    np.testing.assert_allclose(written, native, rtol=1e-6)
    limit = now.reference.threshold
    assert (content['threshold'], content['p']) == (limit, decision.p_value)
    assert (content['decision'], content['percent']) == ('stream', '2')
    assert content['note'].startswith('with 9 healthy subjects no conformal p-value')
    assert 'as far as a fitted tail holds' in content['decision_means']
    lesion = nibabel.load(out / f'{stem}_lesion.nii.gz').get_fdata() > 0
    assert (native[lesion] >= limit).all() and lesion.any() == decision.marked.any()
    # The components in the tables are the marked ones, their mass in score times ml.
    voxel = abs(np.linalg.det(prepared.affine[:3, :3])) / 1000
    kept = decision.component_p <= line['level']
    expected = sorted(decision.marks.masses[kept] * voxel)
    rows = sorted(row[-2:] for row in content['components'])
    assert {mass for mass, _ in rows} <= {float(f'{mass:.6g}') for mass in expected}
    assert all(p <= line['level'] for _, p in rows)
    stored = [part['mass'] for part in content['online']['components']]
    np.testing.assert_allclose(stored, decision.marks.masses)
    marked += len(rows)
  assert marked and decision.flagged  # the last scan has a lesion
  with open(out / 'scans.csv', newline='') as file:
    assert {row['decision'] for row in csv.DictReader(file)} == {'stream'}
  assert leaves(saved(run, state).stream) == leaves(now)


def test_fewer_subjects_than_the_level_needs_are_noted():
  # By hand: the smallest conformal p-value of n scans is 1 / (n + 1).
  for number, smallest in ((10, '0.091'), (18, '0.053')):
    few = scan_decision.calibrated(np.arange(float(number)), Settings())
    note = online_maps.note(few, 0.05)
    assert f'with {number} healthy subjects no conformal p-value' in note
    assert f'is below {smallest}' in note and 'recalibration.py' in note
  enough = scan_decision.calibrated(np.arange(19.0), Settings())
  assert online_maps.note(enough, 0.05) == ''


def test_options_of_another_decision_exclude_a_stream():
  online.check_options('', '5', None, '')
  online.check_options('state', '', None, 'answers.csv')
  for percent, alpha in (('5', None), ('', 0.1)):
    with pytest.raises(ValueError, match='--online excludes --percent and --alpha'):
      online.check_options('state', percent, alpha, '')
  with pytest.raises(ValueError, match='--feedback belongs to a stream'):
    online.check_options('', '', None, 'answers.csv')


def test_without_a_reconstruction_the_residual_is_the_score_above_its_median(
  run, entries
):
  prepared = calibration.prepare(entries[0], run.steps)
  made = detection.detect(prepared, run, run.thresholds['5'])
  maps = online_maps.maps_of(prepared, made._replace(outputs={}))
  inside = made.scores[made.brain]
  np.testing.assert_allclose(maps.residual[made.brain], inside - np.median(inside))
  assert not maps.residual[~made.brain].any()


def test_a_scan_of_another_grid_is_a_bad_scan(run, source, state, tmp_path):
  first = saved(run, state)
  shadow = first.stream.shadows[0]
  cut = shadow._replace(mask=shadow.mask[:-1])
  first = first._replace(stream=first.stream._replace(shadows=(cut,)))
  with state_file.opened(state, online_start.model_of(run, True)) as file:
    file.write(first)
  with pytest.raises(nifti.BadScan, match='does not fit the stream: .* has shape'):
    predicted(run, source, tmp_path / 'out', state)
