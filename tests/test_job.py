"""The main job and prediction, end to end, on a generated folder of heads."""

import json
import shutil
import subprocess
import sys
import warnings

import nibabel
import numpy as np
import pytest

from tests.conftest import ROOT
from tests.data.heads import tree
from uad_jax import defaults, job, predict

SUBJECTS = {'train': 3, 'val': 1, 'test': 2}


def make_config(source, data):
  config = defaults.get_config('demo')
  config.data = dict(
    name='nifti_folder',
    dir=str(data),
    source=str(source),
    layout='bids',
    patterns=dict(labels='derivatives/dlmuse/sub-*/anat/*_dseg.nii*'),
    job=dict(shape=(16, 16), spacing=12.0, align=False, intensity='percentile'),
    workers=1,
    train='train',
    val='val',
    test='test',
    selection='painted',
  )
  config.method.update(name='vae', widths=(8, 8), latent=2)
  config.batch_size = 4
  config.steps = (6,)
  config.log_every, config.save_every, config.resamples = 2, 3, 20
  config.scores.update(
    residual=dict(scorer='residual'), standardised=dict(scorer='standardised')
  )
  return config


@pytest.fixture(scope='module')
def world(tmp_path_factory):
  """A folder of heads, and a finished run on it: (config, source, workdir, table)."""
  root = tmp_path_factory.mktemp('job')
  names = [split for split, n in SUBJECTS.items() for _ in range(n)]
  subjects = [f'sub-{i:02d}' for i in range(len(names))]
  table = 'participant_id\tsplit\n' + ''.join(
    f'{s}\t{split}\n' for s, split in zip(subjects, names, strict=True)
  )
  tree(root / 'heads', subjects, table)
  config = make_config(root / 'heads', root / 'data')
  text = job.run(config, str(root / 'run'))
  return config, root / 'heads', root / 'run', text


def test_the_job_leaves_a_whole_run_folder(world):
  config, _, run, text = world
  assert text.endswith('report.html') and 'standardised' in text
  results = json.loads((run / 'results.json').read_text())
  assert set(results['scorers']) == {'residual', 'standardised'}
  assert results['default'] in results['scorers']
  assert (
    results['run']['manifest']
    == json.loads((run / 'model.json').read_text())['manifest']
  )
  page = (run / 'report.html').read_text()
  assert 'data:image/png' in page and 'http://' not in page.replace('http://www.w3', '')
  steps = [
    json.loads(line)['step']
    for line in (run / 'metrics.jsonl').read_text().splitlines()
  ]
  assert steps[-1] == 6
  assert (run / 'subjects.csv').exists() and (run / 'evaluation.npz').exists()
  assert 'Total: 3,070' in (run / 'parameters.txt').read_text()


def test_a_second_run_skips_what_exists(world, capsys):
  config, _, run, text = world
  before = (run / 'results.json').stat().st_mtime_ns
  assert job.run(config, str(run)) == text
  assert 'nothing left to do' in capsys.readouterr().err
  assert (run / 'results.json').stat().st_mtime_ns == before


def test_a_run_of_another_config_is_refused(world):
  config, _, run, _ = world
  other = config.copy_and_resolve_references()
  other.method.latent = 3
  with pytest.raises(ValueError, match='method.latent was 2, now 3.*another --workdir'):
    job.run(other, str(run))


def test_other_scores_need_no_training(world, capsys):
  config, _, run, _ = world
  other = config.copy_and_resolve_references()
  other.scores.ssim = dict(scorer='ssim')
  copy = run.with_name('more')
  shutil.copytree(run, copy)
  assert 'ssim' in job.run(other, str(copy))
  assert 'already trained' in capsys.readouterr().err


def test_variants_fill_the_rows_they_are_asked_for_and_change(world):
  config, _, run, _ = world
  other = config.copy_and_resolve_references()
  other.variants = {'low': {'position': 0.1}, 'same': {}}
  other.variant_scores = ('residual',)
  copy = run.with_name('varied')
  shutil.copytree(run, copy)
  text = job.run(other, str(copy))
  assert 'low: residual  ' in text  # no mark: a variant chooses no map
  assert 'low: standardised' not in text and 'same: ' not in text
  summary = json.loads((copy / 'variants' / 'low' / 'results.json').read_text())
  assert list(summary['scorers']) == ['residual']


def test_a_folder_that_is_no_run_is_left_alone(world, tmp_path):
  config, _, _, _ = world
  (tmp_path / 'thesis.txt').write_text('precious')
  with pytest.raises(ValueError, match='not empty and no run'):
    job.run(config, str(tmp_path))
  assert [p.name for p in tmp_path.iterdir()] == ['thesis.txt']


@pytest.mark.parametrize(
  'change, sentence',
  [
    (dict(name='vea'), "no 'vea' in methods; there are aae, ae, "),
    (dict(latnet=3), "method 'vae' takes no 'latnet'; it takes widths, latent"),
  ],
)
def test_a_mistake_in_the_method_is_named(world, tmp_path, change, sentence):
  other = world[0].copy_and_resolve_references()
  other.method.update(change)
  with pytest.raises(ValueError, match=sentence):
    job.run(other, str(tmp_path / 'run'))
  assert not (tmp_path / 'run').exists()


def test_an_unknown_split_is_named(world, tmp_path):
  other = world[0].copy_and_resolve_references()
  other.data.train = 'trian'
  with pytest.raises(ValueError, match="no split 'trian'; there are train, val, test"):
    job.run(other, str(tmp_path / 'run'))


def test_the_command_line_names_the_nearest_key():
  done = subprocess.run(
    [sys.executable, '-m', 'uad_jax.main', '--config=configs/vae.py',
     '--workdir=unused', '--config.method.latnt=3'],
    cwd=ROOT, capture_output=True, text=True, timeout=120,
  )  # fmt: skip
  assert done.returncode == 1
  assert done.stderr.strip().splitlines() == [
    "main: the config has no key 'latnt'; the nearest is 'latent'"
  ]
  assert not (ROOT / 'unused').exists()


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
