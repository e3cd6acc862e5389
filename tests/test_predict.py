"""Prediction, from a finished run to maps in the scans' own space."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import types
import warnings

import nibabel
import numpy as np
import pytest

from tests.conftest import ROOT
from tests.prediction.stream.online_run import entries as entries
from tests.small_run import world as world  # the finished run
from uad_jax import predict
from uad_jax.prediction import batch, calibration, native_space, plan


def scan_of(source):
  return sorted(source.glob('sub-04/anat/*_T1w.nii*'))[0]


def labels_of(source):
  return sorted(source.glob('derivatives/dlmuse/sub-04/anat/*'))[0]


def test_prediction_lies_in_the_scans_own_grid(world):
  _, source, run, _ = world
  scan = nibabel.load(scan_of(source))
  assert nibabel.aff2axcodes(scan.affine) != ('R', 'A', 'S')
  found = predict.predict(scan_of(source), run, labels=labels_of(source))
  assert found.anomaly.shape == found.lesion.shape == scan.shape
  np.testing.assert_array_equal(found.affine, scan.affine)
  assert set(np.unique(found.lesion)) <= {0, 1}
  brain = nibabel.load(labels_of(source)).get_fdata() > 0
  # The expected image resembles the brain where there is one, and is 0 far from it.
  expected = found.outputs['reconstruction']
  assert expected[brain].mean() > 5 * np.abs(expected[~brain]).mean()
  # The lesion is the map above the threshold, up to small parts.
  assert (found.anomaly[found.lesion > 0] > found.threshold).all()


def test_predict_command_writes_all_files(world, tmp_path):
  _, source, run, _ = world
  scan = scan_of(source)
  opened = predict.load(run)
  found = predict.predict(scan, opened, labels=labels_of(source), percent='10')
  stem = scan.name.split('.')[0]
  writers = native_space.files_of(found, scan)
  native_space.write(found, writers, opened, tmp_path / stem)
  names = sorted(p.name for p in tmp_path.iterdir())
  kinds = ('.json', '_anomaly.nii.gz', '_lesion.nii.gz', '_overlay.png')
  assert names == sorted(f'{stem}{k}' for k in (*kinds, '_reconstruction.nii.gz'))
  written = nibabel.load(tmp_path / f'{stem}_anomaly.nii.gz')
  np.testing.assert_allclose(written.affine, nibabel.load(scan).affine, atol=1e-4)
  told = json.loads((tmp_path / f'{stem}.json').read_text())
  assert told['threshold'] == found.threshold and told['map'] == found.scorer
  inside = nibabel.load(labels_of(source)).get_fdata() > 0
  assert told['marked_share_of_brain'] == found.marked
  assert found.marked == pytest.approx(found.lesion.sum() / inside.sum(), rel=0.3)


def test_predict_refuses_with_a_sentence(world, tmp_path):
  _, source, run, _ = world
  with pytest.raises(ValueError, match="no map 'gate'; there are residual"):
    predict.load(run, 'gate')
  with pytest.raises(FileNotFoundError, match='config.json'):
    predict.load(tmp_path)
  with pytest.raises(ValueError, match="no threshold at '7' %.*there are 1, 5, 10"):
    predict.predict(scan_of(source), run, percent='7')
  with pytest.raises(FileNotFoundError, match='holds no scans'):
    plan.search(str(tmp_path))


def test_a_checkpoint_of_another_method_is_refused(world, tmp_path):
  _, _, run, _ = world
  other = tmp_path / 'other'
  shutil.copytree(run, other)
  settings = json.loads((other / 'config.json').read_text())
  settings['method'] = {'name': 'ae', 'widths': [8, 8], 'latent': 2}
  (other / 'config.json').write_text(json.dumps(settings))
  with pytest.raises(ValueError, match='is a checkpoint of another method or config'):
    predict.load(other)


@pytest.fixture
def command(world, monkeypatch, capsys):
  """The command on some scans: its exit status and the lines that it prints."""

  def run(scans, output, **options):
    defaults = {'pattern': '', 'scorer': '', 'percent': '', 'keep_going': False}
    defaults |= {'alpha': None, 'refuse': False, 'online': '', 'feedback': ''}
    values = {**flags(), **defaults, 'workers': 1, 'checkpoint': world[2], **options}
    monkeypatch.setattr(
      predict, 'FLAGS', types.SimpleNamespace(input=scans, output=output, **values)
    )
    monkeypatch.setattr(predict.signal, 'signal', lambda *_: None)
    monkeypatch.setattr(native_space, 'overlay', lambda *_: b'a picture')
    try:
      predict.main([])
    except SystemExit as stop:
      return stop.code, capsys.readouterr().out.splitlines()
    return 0, capsys.readouterr().out.splitlines()

  return run


def test_a_bad_scan_ends_prediction_or_is_listed_at_its_end(world, tmp_path, command):
  scans, maps = tmp_path / 'scans', tmp_path / 'maps'
  scans.mkdir()
  good = scan_of(world[1])
  (scans / 'a_bad.nii.gz').write_bytes(b'')
  shutil.copy(good, scans / f'b_{good.name}')
  shutil.copy(labels_of(world[1]), scans.parent / 'labels.nii.gz')
  with pytest.raises(ValueError, match=r'a_bad\.nii\.gz'):
    command(scans, tmp_path / 'stopped')
  assert not (tmp_path / 'stopped').exists()
  labels = {'labels_pattern': '../labels.nii.gz'}
  status, lines = command(scans, maps, keep_going=True, **labels)
  assert status == 1
  assert lines[0].startswith('left out: ') and 'a_bad.nii.gz' in lines[0]
  assert lines[-1].startswith('1 of 2 scans predicted')
  names = {p.name.split('_')[0] for p in maps.iterdir()}
  assert names == {'b', 'scans.csv', 'lesions.csv', 'index.html'}
  (scans / 'a_bad.nii.gz').unlink()
  assert command(scans, maps, **labels)[1][-1].endswith('1 of 1 were done already')


def test_results_beside_the_scans_are_told_and_left_out(world, tmp_path, command):
  labels, scans = {'labels_pattern': '{id}_dseg.nii.gz'}, tmp_path / 'scans'
  scans.mkdir()
  shutil.copy(labels_of(world[1]), scans / 'a_dseg.nii.gz')
  shutil.copy(scan_of(world[1]), scans / 'a.nii.gz')
  assert command(scans, scans, **labels)[0] == 0
  before = sorted(scans.iterdir())
  status, lines = command(scans, scans, **labels)
  assert status == 0 and sorted(scans.iterdir()) == before
  kinds = ('3 results of predict', '1 masks and labels of scans')
  assert lines[:2] == [f'{kind} in {scans} are left out' for kind in kinds]
  assert lines[-1].endswith('1 of 1 were done already')


def test_a_stream_decides_and_is_answered(
  world, tmp_path, command, entries, monkeypatch
):
  labels = {'labels_pattern': 'derivatives/dlmuse/{id}/**/*_dseg.nii.gz'}
  state, out = tmp_path / 'state.npz', tmp_path / 'maps'
  with pytest.raises(ValueError, match='1 healthy validation .* begins on 9 or more'):
    command(world[1], out, online=str(state), **labels)
  with pytest.raises(ValueError, match='excludes --percent and --alpha'):
    command(world[1], out, online=str(state), alpha=0.1, **labels)
  assert not list(tmp_path.iterdir())
  monkeypatch.setattr(calibration, 'validation_scans', lambda config, kept: entries)
  status, lines = command(world[1], out, online=str(state), **labels)
  assert status == 0 and lines[-2].startswith('note: of 6 scans the stream flags ')
  (tmp_path / 'a.csv').write_text('identifier,healthy\nsub-04/anat/sub-04_T1w,1\n')
  answers = {'feedback': str(tmp_path / 'a.csv')}
  status, lines = command(world[1], out, online=str(state), **labels, **answers)
  assert status == 0 and lines[-1].endswith('6 of 6 were done already')


def test_a_run_describes_its_healthy_validation_scans(world):
  results = json.loads((world[2] / 'results.json').read_text())
  healthy = results['healthy_validation']
  assert healthy['scans'] == 1 and {*healthy['marked']} == {*results['scorers']}
  mean, highest = healthy['marked']['residual']['5']
  assert 0.04 < mean == highest <= 0.05  # the threshold lies at 5 % of this scan
  low, high = healthy['intensity']['50']
  assert 0 < low == high < 1


def flags(**values):
  return {name: values.get(name, '') for name in predict.MASKS}


def test_masks_of_one_scan_are_no_masks_of_several(world):
  scans = plan.search(str(world[1]))
  predict.check_masks(scans, flags(mask_pattern='{id}'))
  predict.check_masks(plan.search(str(scan_of(world[1]))), flags(mask='m.nii'))
  with pytest.raises(ValueError, match='--labels goes with one scan; --input has 6'):
    predict.check_masks(scans, flags(labels='l.nii'))
  with pytest.raises(ValueError, match='--mask and --mask_pattern exclude each other'):
    predict.check_masks(scans, flags(mask='m.nii', mask_pattern='{id}'))


def test_the_end_of_the_command_lists_what_to_look_at(tmp_path):
  names = [f'{i:02d}.nii' for i in range(25)]
  warned = {n: ['a', 'b'] for n in names}
  summary = batch.Summary(25, 3, ['x.nii is bad'], warned, ['few scans'])
  lines = predict.lines_of(summary, 26, tmp_path)
  assert lines[0] == 'left out: x.nii is bad' and lines[1] == 'warning: 00.nii: a; b'
  assert lines[-2] == 'note: few scans'
  assert lines[-3] == '5 further scans have warnings, see scans.csv'
  assert lines[-1].startswith('25 of 26 scans predicted in ')
  assert lines[-1].endswith('; 3 of 26 were done already')


def alive(group):
  """Processes of a group that are no zombies, by Linux's /proc."""
  places = [p.read_text().rpartition(')')[2].split() for p in
            pathlib.Path('/proc').glob('[0-9]*/stat')]  # fmt: skip
  return [place for place in places if place[2] == str(group) and place[0] != 'Z']


@pytest.mark.slow
@pytest.mark.parametrize('sign', [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_is_one_line_and_leaves_no_process(world, tmp_path, sign):
  _, source, run, _ = world
  root, names, *_ = plan.search(str(source))
  (many := tmp_path / 'scans').mkdir()  # so many that the signal is before the last
  for number, name in enumerate(names * 10):
    (many / f'{number}_{(root / name).name}').symlink_to(root / name)
  command = subprocess.Popen(
    [sys.executable, '-m', 'uad_jax.predict', f'--checkpoint={run}', '--workers=2',
     f'--input={many}', f'--output={tmp_path / "out"}'],
    cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    start_new_session=True,
  )  # fmt: skip
  deadline = time.monotonic() + 100
  while not (tmp_path / 'out' / 'scans.csv').exists() and time.monotonic() < deadline:
    time.sleep(0.05)
  os.killpg(command.pid, sign) if sign == signal.SIGINT else command.send_signal(sign)
  _, told = command.communicate(timeout=60)
  assert command.returncode == 130
  last = told.strip().splitlines()[-1]
  assert last.endswith('the same command goes on with the others'), told
  assert 'Traceback' not in told
  deadline = time.monotonic() + 20
  while alive(command.pid) and time.monotonic() < deadline:
    time.sleep(0.1)
  assert not alive(command.pid)
  assert not [p for p in (tmp_path / 'out').rglob('.*')]


@pytest.mark.realdata
@pytest.mark.parametrize('folder', ['ms_t1_flair', 'ixi_t1_2mm'])
def test_real_scans_get_maps_in_their_own_grid(world, real_data, folder):
  _, _, run, _ = world
  found = sorted(real_data.glob(f'{folder}/sub-*/anat/*_T1w.nii*'))
  scan = nibabel.load(found[0])
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # a head without a mask is warned of
    made = predict.predict(found[0], run)
  assert made.anomaly.shape == made.lesion.shape == scan.shape[:3]
  np.testing.assert_allclose(made.affine, scan.affine, atol=1e-4)
  assert np.isfinite(made.anomaly).all() and made.anomaly.std() > 0


def test_bids_and_flat_folders_are_searched(world, tmp_path):
  _, source, _, _ = world
  found = plan.search(str(source)).names
  assert len(found) == 6 and all('T1w' in name.split('/')[-1] for name in found)
  shutil.copy(scan_of(source), tmp_path)
  assert len(plan.search(str(tmp_path)).names) == 1
