"""Many scans: failures stay with their scan, and work that is done stays done."""

import csv
import errno
import json
import os
import pathlib
import shutil
import signal
import warnings

import nibabel
import numpy as np
import pytest

from tests.small_run import world as world  # the finished run
from uad_jax import trained_run
from uad_jax.data.preprocessing import nifti
from uad_jax.prediction import batch, native_space, plan, scan_preparation
from uad_jax.prediction.decision import Decision
from uad_jax.train import Interrupted

LABELS = 'derivatives/dlmuse/{id}/**/*_dseg.nii.gz'
SUBJECTS = ['sub-00', 'sub-03', 'sub-04']


@pytest.fixture(scope='module')
def run(world):
  return trained_run.load(world[2])


@pytest.fixture
def heads(world, tmp_path):
  """A BIDS folder with three of the heads and their labels."""
  for subject in SUBJECTS:
    shutil.copytree(world[1] / subject, tmp_path / 'heads' / subject)
  shutil.copytree(world[1] / 'derivatives', tmp_path / 'heads' / 'derivatives')
  return tmp_path / 'heads'


@pytest.fixture(autouse=True)
def plain_overlay(request, monkeypatch):
  """A picture that costs nothing; drawing takes most of the time of a small scan."""
  if 'slow' not in request.keywords:
    monkeypatch.setattr(native_space, 'overlay', lambda *_: b'a picture')


def predicted(run, source, folder, keep_going=False, workers=1):
  tasks = plan.plan(plan.search(str(source)), folder, labels=LABELS)
  work = batch.Batch(run, folder, Decision('5', None), keep_going)
  return work.predict(tasks, workers)


def table(folder, name='scans'):
  with open(folder / f'{name}.csv', newline='') as file:
    return list(csv.DictReader(file))


def without_time(folder):
  return [{k: v for k, v in row.items() if k != 'seconds'} for row in table(folder)]


def files(folder):
  return sorted(p.relative_to(folder).as_posix() for p in folder.rglob('*.*'))


def broken(monkeypatch, error, name='sub-03'):
  """Preprocessing raises an error at one of the scans."""
  whole = scan_preparation.preprocess.prepare_scan

  def prepare(path, *arguments, **options):
    if name in str(path):
      raise error
    return whole(path, *arguments, **options)

  monkeypatch.setattr(scan_preparation.preprocess, 'prepare_scan', prepare)


def test_tables_hold_the_numbers_of_the_maps(run, heads, tmp_path):
  summary = predicted(run, heads, tmp_path / 'out')
  assert summary[:3] == (3, 0, [])
  rows, lesions = table(tmp_path / 'out'), table(tmp_path / 'out', 'lesions')
  assert [row['participant'] for row in rows] == SUBJECTS
  for row in rows:
    stem = tmp_path / 'out' / row['participant'] / 'anat' / f'{row["participant"]}_T1w'
    lesion = nibabel.load(f'{stem}_lesion.nii.gz')
    anomaly = nibabel.load(f'{stem}_anomaly.nii.gz').get_fdata()
    marked = lesion.get_fdata() > 0
    voxel = abs(np.linalg.det(lesion.affine[:3, :3])) / 1000
    assert float(row['lesion_ml']) == pytest.approx(marked.sum() * voxel, rel=1e-4)
    ours = [r for r in lesions if r['participant'] == row['participant']]
    assert len(ours) == int(row['lesions']) > 0 and row['status'] == 'done'
    assert sum(float(r['volume_ml']) for r in ours) == pytest.approx(
      float(row['lesion_ml']), rel=1e-4
    )
    assert max(float(r['largest_score']) for r in ours) == pytest.approx(
      anomaly[marked].max(), rel=1e-4
    )
    assert (
      f'{row["participant"]}_T1w_overlay.png'
      in (tmp_path / 'out/index.html').read_text()
    )


def test_finished_work_is_not_repeated_and_changed_scans_are(
  run, heads, tmp_path, monkeypatch
):
  out = tmp_path / 'out'
  predicted(run, heads, out)
  before = {name: (out / name).read_bytes() for name in files(out)}
  (out / 'index.html').unlink()
  os.utime(next((heads / 'sub-00/anat').iterdir()))  # another time, the same content
  broken(monkeypatch, AssertionError('nothing is to be prepared'), '')
  assert predicted(run, heads, out)[:3] == (3, 3, [])
  assert {name: (out / name).read_bytes() for name in files(out)} == before
  monkeypatch.undo()
  scan = next((heads / 'sub-03/anat').iterdir())
  image = nibabel.load(scan)
  nibabel.save(nibabel.Nifti1Image(image.get_fdata()[::-1], image.affine), scan)
  (out / 'sub-04/anat/sub-04_T1w_overlay.png').unlink()
  assert predicted(run, heads, out)[:3] == (3, 1, [])
  name = 'sub-03/anat/sub-03_T1w_anomaly.nii.gz'
  assert (out / name).read_bytes() != before[name]


def test_tables_do_not_depend_on_an_interruption(run, heads, tmp_path, monkeypatch):
  predicted(run, heads, tmp_path / 'whole')
  handler = signal.getsignal(signal.SIGINT)
  try:
    broken(monkeypatch, KeyboardInterrupt(), 'sub-04')
    with pytest.raises(Interrupted, match='2 of 3 scans are predicted'):
      predicted(run, heads, tmp_path / 'out')
  finally:
    signal.signal(signal.SIGINT, handler)
  assert [r['participant'] for r in table(tmp_path / 'out')] == SUBJECTS[:2]
  assert not [name for name in files(tmp_path / 'out') if 'sub-04' in name]
  monkeypatch.undo()
  assert predicted(run, heads, tmp_path / 'out')[:2] == (3, 2)
  assert without_time(tmp_path / 'out') == without_time(tmp_path / 'whole')
  lesions = (tmp_path / 'out/lesions.csv').read_text()
  assert lesions == (tmp_path / 'whole/lesions.csv').read_text()


@pytest.mark.parametrize(
  'error', [np.linalg.LinAlgError('Singular matrix'), MemoryError(), ValueError('x')]
)
def test_every_failure_stays_with_its_scan(run, heads, tmp_path, monkeypatch, error):
  broken(monkeypatch, error)
  with pytest.raises(nifti.BadScan, match='sub-03_T1w.nii'):
    predicted(run, heads, tmp_path / 'stopped')
  summary = predicted(run, heads, tmp_path / 'out', keep_going=True)
  assert summary.predicted == 2
  assert len(summary.failed) == 1 and 'sub-03_T1w.nii' in summary.failed[0]
  rows = table(tmp_path / 'out')
  assert [row['status'] for row in rows] == ['done', 'failed', 'done']
  assert rows[1]['warnings'] == summary.failed[0]


def test_a_failure_of_the_inference_stays_with_its_scan(
  run, heads, tmp_path, monkeypatch
):
  whole, calls = batch.predict_prepared, []

  def infer(*arguments):
    calls.append(arguments)
    if len(calls) == 2:
      raise ValueError('a map that is not finite')
    return whole(*arguments)

  monkeypatch.setattr(batch, 'predict_prepared', infer)
  summary = predicted(run, heads, tmp_path / 'out', keep_going=True)
  assert summary.predicted == 2 and 'sub-03' in summary.failed[0]
  assert 'a map that is not finite' in summary.failed[0]


def test_a_full_disk_is_told_with_the_path_and_leaves_nothing_half_written(
  run, heads, tmp_path, monkeypatch
):
  whole = native_space.save

  def save(volume, scan, path):
    whole(volume, scan, path)
    if 'sub-03_T1w_lesion' in path.name:
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  monkeypatch.setattr(native_space, 'save', save)
  with pytest.raises(OSError, match='No space left.*sub-03_T1w_lesion.nii.gz'):
    predicted(run, heads, tmp_path / 'out', keep_going=True)
  names = files(tmp_path / 'out') + [p.name for p in tmp_path.rglob('.*')]
  assert not [name for name in names if 'sub-03' in name]
  assert [row['participant'] for row in table(tmp_path / 'out')] == ['sub-00']


def test_results_of_a_scan_that_became_bad_are_removed(run, heads, tmp_path):
  predicted(run, heads, tmp_path / 'out')
  next((heads / 'sub-03/anat').iterdir()).write_bytes(b'')
  predicted(run, heads, tmp_path / 'out', keep_going=True)
  assert not [name for name in files(tmp_path / 'out') if 'sub-03' in name]
  assert [r['status'] for r in table(tmp_path / 'out')] == ['done', 'failed', 'done']


def test_warnings_go_to_the_sidecar_and_the_table(run, heads, tmp_path, monkeypatch):
  whole = scan_preparation.preprocess.prepare_scan

  def prepare(path, *arguments, **options):
    warnings.warn('brain mask\nestimated', stacklevel=1)
    warnings.warn('not for people', DeprecationWarning, stacklevel=1)
    return whole(path, *arguments, **options)

  monkeypatch.setattr(scan_preparation.preprocess, 'prepare_scan', prepare)
  summary = predicted(run, heads, tmp_path / 'out')
  for row in table(tmp_path / 'out'):
    assert row['warnings'].startswith('brain mask estimated')
    assert 'people' not in row['warnings']
    stem = pathlib.Path(row['scan']).with_suffix('').with_suffix('')
    content = json.loads((tmp_path / 'out' / f'{stem}.json').read_text())
    assert summary.warnings[row['scan']] == content['warnings']


def test_earlier_results_in_the_folder_stay_in_the_tables(run, heads, tmp_path):
  out = tmp_path / 'out'
  predicted(run, heads, out)
  shutil.rmtree(heads / 'sub-00')
  assert predicted(run, heads, out)[:2] == (2, 2)
  assert [row['participant'] for row in table(out)] == SUBJECTS
  shutil.move(out / 'sub-00', tmp_path)
  predicted(run, heads, out)
  assert [row['participant'] for row in table(out)] == SUBJECTS[1:]


def test_results_of_a_command_at_the_same_time_are_in_the_tables(run, heads, tmp_path):
  out = tmp_path / 'out'
  predicted(run, heads, out)
  shutil.move(out / 'sub-00', tmp_path)
  shutil.rmtree(heads / 'sub-00')
  folder = batch.ResultFolder(out)
  shutil.move(tmp_path / 'sub-00', out)  # the other command ends now
  folder.close()
  assert [row['participant'] for row in table(out)] == SUBJECTS


@pytest.mark.slow  # two processes that import the package
def test_processes_change_nothing(run, heads, tmp_path):
  predicted(run, heads, tmp_path / 'one')
  predicted(run, heads, tmp_path / 'two', workers=2)
  assert files(tmp_path / 'one') == files(tmp_path / 'two')
  for name in files(tmp_path / 'one'):
    if name.endswith(('.nii.gz', '.png', 'lesions.csv')):
      a, b = (tmp_path / folder / name for folder in ('one', 'two'))
      assert a.read_bytes() == b.read_bytes() or np.array_equal(
        nibabel.load(a).get_fdata(), nibabel.load(b).get_fdata()
      )
