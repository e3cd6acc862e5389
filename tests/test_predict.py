"""Prediction, from a finished run to maps in the scans' own space."""

import json
import shutil
import subprocess
import sys
import warnings

import nibabel
import numpy as np
import pytest

from tests.conftest import ROOT
from tests.small_run import world as world  # the finished run
from uad_jax import predict


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
  predict.write(found, scan, opened, tmp_path, '10')
  stem = scan.name.split('.')[0]
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
    predict.find_scans(str(tmp_path), '')


def test_a_checkpoint_of_another_method_is_refused(world, tmp_path):
  _, _, run, _ = world
  other = tmp_path / 'other'
  shutil.copytree(run, other)
  settings = json.loads((other / 'config.json').read_text())
  settings['method'] = {'name': 'ae', 'widths': [8, 8], 'latent': 2}
  (other / 'config.json').write_text(json.dumps(settings))
  with pytest.raises(ValueError, match='is a checkpoint of another method or config'):
    predict.load(other)


def predicted(run, scans, output, *flags):
  return subprocess.run(
    [sys.executable, '-m', 'uad_jax.predict', f'--checkpoint={run}',
     f'--input={scans}', f'--output={output}', *flags],
    cwd=ROOT, capture_output=True, text=True, timeout=120,
  )  # fmt: skip


def test_a_bad_scan_ends_prediction_or_is_listed_at_its_end(world, tmp_path):
  _, source, run, _ = world
  scans = tmp_path / 'scans'
  scans.mkdir()
  good = scan_of(source)
  (scans / 'a_bad.nii.gz').write_bytes(b'')
  shutil.copy(good, scans / f'b_{good.name}')
  done = predicted(run, scans, tmp_path / 'stopped')
  assert done.returncode == 1 and not (tmp_path / 'stopped').exists()
  assert 'a_bad.nii.gz' in done.stderr.strip().splitlines()[-1]
  done = predicted(run, scans, tmp_path / 'maps', '--keep_going')
  assert done.returncode == 0, done.stderr
  told = done.stdout.strip().splitlines()
  assert told[0].startswith('1 of 2 scans predicted')
  assert told[1].startswith('left out: ') and 'a_bad.nii.gz' in told[1]
  names = {p.name.split('_')[0] for p in (tmp_path / 'maps').iterdir()}
  assert names == {'b'}


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
  found = predict.find_scans(str(source), '')
  assert len(found) == 6 and all('T1w' in p.name for p in found)
  shutil.copy(scan_of(source), tmp_path)
  assert len(predict.find_scans(str(tmp_path), '')) == 1
