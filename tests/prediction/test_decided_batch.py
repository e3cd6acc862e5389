"""Predictions by components: tables, sidecars, finished work, refused scans."""

import csv
import json
import shutil

import jax
import nibabel
import numpy as np
import pytest

from tests.small_run import world as world  # the finished run
from uad_jax import predict, trained_run
from uad_jax.prediction import batch, native_space, plan, sidecar
from uad_jax.prediction.decision import Decision

LABELS = 'derivatives/dlmuse/{id}/**/*_dseg.nii.gz'
STEM = 'sub-04/anat/sub-04_T1w'
FAR = {'brightness': [9 + 0.01 * i for i in range(12)]}


@pytest.fixture(autouse=True)
def plain_overlay(monkeypatch):
  monkeypatch.setattr(native_space, 'overlay', lambda *_: b'a picture')


@pytest.fixture
def heads(world, tmp_path):
  for subject in ('sub-04', 'sub-05'):
    shutil.copytree(world[1] / subject, tmp_path / 'heads' / subject)
  shutil.copytree(world[1] / 'derivatives', tmp_path / 'heads' / 'derivatives')
  return tmp_path / 'heads'


@pytest.fixture
def changed(world, tmp_path):
  """Copies the run and changes the healthy scans in its results."""

  def change(**entries):
    folder = tmp_path / 'run'
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(world[2], folder)
    results = json.loads((folder / 'results.json').read_text())
    healthy = results['healthy_validation'] | entries
    results['healthy_validation'] = {k: v for k, v in healthy.items() if v is not None}
    (folder / 'results.json').write_text(json.dumps(results))
    return trained_run.load(folder)

  return change


def masses(run, values):
  return {run: {percent: values for percent in ('1', '5', '10')}}


def predicted(run, heads, out, rule=None, refuse=False, keep_going=True):
  tasks = plan.plan(plan.search(str(heads)), out, labels=LABELS)
  work = batch.Batch(run, out, rule or Decision(), keep_going, refuse)
  return work.predict(tasks, 1)


def table(folder, name='scans'):
  with open(folder / f'{name}.csv', newline='') as file:
    return list(csv.DictReader(file))


def content_of(out):
  return json.loads((out / f'{STEM}.json').read_text())


def test_the_default_marks_components_by_their_p_value(changed, heads, tmp_path):
  # No component of these scans is as large as those of half of the healthy scans.
  large = masses('residual', [0.0] * 10 + [1e6] * 9)
  run, out = changed(masses=large), tmp_path / 'out'
  summary = predicted(run, heads, out)
  assert summary.notes == [] and summary.predicted == 2
  content = content_of(out)
  assert (content['decision'], content['alpha'], content['percent']) == (
    *('components', 0.05), '1'
  )  # fmt: skip
  assert content['p'] == 0.5 and content['lesions'] == 0 and content['note'] == ''
  assert not nibabel.load(out / f'{STEM}_lesion.nii.gz').get_fdata().any()
  for row in table(out):
    assert (row['decision'], row['alpha'], row['p']) == ('components', '0.05', '0.5')
    assert row['domain_p'] == '' and row['lesion_ml'] == '0'
  assert table(out, 'lesions') == []
  # With smaller healthy masses something is marked, with mass and p in the table.
  run = changed(masses=masses('residual', [0.0] * 19))
  assert predicted(run, heads, out)[:2] == (2, 0)
  rows = table(out, 'lesions')
  assert rows and {row['p'] for row in rows} == {'0.05'}
  assert all(float(row['mass']) > 0 for row in rows)
  made = content_of(out)['components']
  assert [row[-1] for row in made] == [0.05] * len(made)


def test_the_same_decision_is_done_and_another_is_not(changed, heads, tmp_path):
  run = changed(masses=masses('residual', [0.0] * 19))
  out = tmp_path / 'out'
  assert predicted(run, heads, out)[:2] == (2, 0)
  assert predicted(run, heads, out)[:2] == (2, 2)
  assert predicted(run, heads, out, Decision('1', 0.2))[:2] == (2, 0)
  assert predicted(run, heads, out, Decision('1', None))[:2] == (2, 0)
  assert content_of(out)['decision'] == 'voxels' and content_of(out)['p'] == 0.05


def test_another_threshold_decision_or_checkpoint_is_other_work(changed):
  run = changed()
  known = sidecar.fingerprint(run, '5')
  shifted = run._replace(params=jax.tree.map(lambda leaf: leaf + 0.01, run.params))
  assert known == sidecar.fingerprint(run, '5')
  others = {
    sidecar.fingerprint(run, '10'),
    sidecar.fingerprint(run, '5', 0.05),
    sidecar.fingerprint(run, '5', 0.1),
    sidecar.fingerprint(shifted, '5'),
    sidecar.fingerprint(changed(masses=masses('residual', [9.0])), '5'),
  }
  assert len(others | {known}) == 6


def test_few_or_no_healthy_scans_are_told_once(changed, heads, tmp_path):
  out = tmp_path / 'out'
  run = changed()  # one healthy validation scan
  for _ in range(2):  # also where nothing is left to do
    summary = predicted(run, heads, out)
    (note,) = summary.notes
    assert note.startswith('with 1 healthy scans the smallest p-value is 0.5')
    lines = predict.lines_of(summary, 2, out)
    assert sum('smallest p-value' in line for line in lines) == 1
  assert content_of(out)['note'] == note
  run = changed(masses=None)
  (note,) = predicted(run, heads, out).notes
  assert 'the run has no component masses' in note
  entries = [content_of(out)[key] for key in ('percent', 'decision', 'p')]
  assert entries == ['5', 'voxels', None]
  # oracle: the voxels that the option asks for
  voxels = tmp_path / 'voxels'
  assert predicted(run, heads, voxels, Decision('5', None)).notes == []
  lesions = [nibabel.load(o / f'{STEM}_lesion.nii.gz') for o in (out, voxels)]
  assert lesions[0].get_fdata().any()
  np.testing.assert_array_equal(*(lesion.get_fdata() for lesion in lesions))
  assert {row['p'] for row in table(out, 'lesions')} == {''}


def test_a_scan_outside_of_the_domain_is_warned_of_or_refused(
  changed, heads, tmp_path, monkeypatch
):
  run, out = changed(statistics=FAR), tmp_path / 'out'
  summary = predicted(run, heads, out)
  for warned in summary.warnings.values():
    (sentence,) = [text for text in warned if 'training domain' in text]
    assert 'overall brightness' in sentence
  assert content_of(out)['outside'] and 'training domain' in str(table(out)[0])
  assert {row['domain_p'] for row in table(out)} == {f'{1 / 13:.6g}'}
  assert 'outside of the training domain' in (out / 'index.html').read_text()
  # Finished work is refused as well, before any inference.
  monkeypatch.setattr('uad_jax.prediction.scan_prediction.detect', lambda *_: 1 / 0)
  summary = predicted(run, heads, out, refuse=True)
  assert summary.predicted == 0 and len(summary.failed) == 2
  assert 'sub-04' in summary.failed[0] and '--refuse is set' in summary.failed[0]
  assert [row['status'] for row in table(out)] == ['failed', 'failed']
  with pytest.raises(ValueError, match='outside of the training domain'):
    predicted(run, heads, out, refuse=True, keep_going=False)


def statuses(out):
  return {row['participant']: (row['status'], row['run']) for row in table(out)}


def failing(monkeypatch, name):
  """The decision on a scan fails."""
  whole = batch.files_of

  def files_of(prediction, scan):
    if name in str(scan):
      raise ValueError('no map')
    return whole(prediction, scan)

  monkeypatch.setattr(batch, 'files_of', files_of)


@pytest.mark.parametrize('keep_going', [True, False])
def test_a_failure_under_another_decision_stays_one_in_later_commands(
  changed, heads, tmp_path, monkeypatch, keep_going
):
  run, out, others = changed(), tmp_path / 'out', tmp_path / 'others'
  predicted(run, heads, out, Decision('5', None))
  before = {p: p.read_bytes() for p in out.rglob('sub-04*') if p.is_file()}
  with monkeypatch.context() as patch:
    failing(patch, 'sub-04')
    if keep_going:
      predicted(run, heads, out, Decision('1', None))
    else:
      with pytest.raises(ValueError, match='no map'):
        predicted(run, heads, out, Decision('1', None), keep_going=False)
  shutil.copytree(heads, others, ignore=lambda *_: ['sub-04'])
  summary = predicted(run, others, out, Decision('1', None))
  assert statuses(out) == {'sub-04': ('failed', ''), 'sub-05': ('done', 'run')}
  assert 'no map' in table(out)[0]['warnings'] and summary.predicted == 1
  assert 'no map' in (out / 'index.html').read_text()
  assert {row['participant'] for row in table(out, 'lesions')} == {'sub-05'}
  # The earlier result is still there, and is that of the earlier decision.
  assert {p for p in before if p.exists()} == {*before}
  assert predicted(run, heads, out, Decision('5', None)).earlier == 1
  assert statuses(out)['sub-04'] == ('done', 'run')
  assert {p: p.read_bytes() for p in before} == before


def test_a_mask_that_is_missing_is_a_failure_in_later_commands(
  changed, heads, tmp_path
):
  run, out, others = changed(), tmp_path / 'out', tmp_path / 'others'
  predicted(run, heads, out)
  tasks = plan.plan(plan.search(str(heads)), out, labels='nowhere/{id}.nii')
  batch.Batch(run, out, Decision(), True).predict(tasks, 1)
  shutil.copytree(heads, others, ignore=lambda *_: ['sub-04'])
  predicted(run, others, out)
  assert statuses(out) == {'sub-04': ('failed', ''), 'sub-05': ('done', 'run')}
  assert '0 labels files' in table(out)[0]['warnings']


def test_a_refusal_stays_one_until_a_command_takes_the_scan(changed, heads, tmp_path):
  run, out, others = changed(statistics=FAR), tmp_path / 'out', tmp_path / 'others'
  predicted(run, heads, out)
  before = (out / f'{STEM}.json').read_bytes()
  predicted(run, heads, out, refuse=True)
  shutil.copytree(heads, others, ignore=lambda *_: ['sub-04'])
  assert predicted(run, others, out).earlier == 1
  assert statuses(out) == {'sub-04': ('failed', ''), 'sub-05': ('done', 'run')}
  assert '--refuse is set' in table(out)[0]['warnings']
  assert predicted(run, heads, out).earlier == 2
  assert statuses(out)['sub-04'] == ('done', 'run')
  assert (out / f'{STEM}.json').read_bytes() == before
