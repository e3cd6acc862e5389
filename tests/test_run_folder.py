"""The main job, end to end, on a generated folder of heads."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.small_run import world as world  # the finished run
from uad_jax import run_folder


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
  assert run_folder.run(config, str(run)) == text
  assert 'nothing left to do' in capsys.readouterr().err
  assert (run / 'results.json').stat().st_mtime_ns == before


def test_results_of_an_older_layout_are_made_anew(world, capsys):
  config, _, run, _ = world
  told = run / 'results.json'
  results = json.loads(told.read_text())
  told.write_text(json.dumps(results | {'schema': '0.9'}))
  run_folder.run(config, str(run))
  assert 'nothing left to do' not in capsys.readouterr().err
  again = json.loads(told.read_text())
  assert again['schema'] == results['schema']
  assert again['scorers'] == results['scorers']


def test_a_scorer_that_cannot_be_served_ends_the_job_before_training(world, tmp_path):
  config = world[0].copy_and_resolve_references()
  config.scores.healed = dict(scorer='healing')
  with pytest.raises(
    ValueError, match="'healing' needs healed, heal_mask; this method"
  ):
    run_folder.run(config, str(tmp_path / 'run'))
  assert not (tmp_path / 'run' / 'checkpoints').exists()


def test_a_run_of_another_config_is_refused(world):
  config, _, run, _ = world
  other = config.copy_and_resolve_references()
  other.method.latent = 3
  with pytest.raises(ValueError, match='method.latent was 2, now 3.*another --workdir'):
    run_folder.run(other, str(run))


def test_other_scores_need_no_training(world, capsys):
  config, _, run, _ = world
  other = config.copy_and_resolve_references()
  other.scores.ssim = dict(scorer='ssim')
  copy = run.with_name('more')
  shutil.copytree(run, copy)
  assert 'ssim' in run_folder.run(other, str(copy))
  assert 'already trained' in capsys.readouterr().err


def test_variants_fill_the_rows_they_are_asked_for_and_change(world):
  config, _, run, _ = world
  other = config.copy_and_resolve_references()
  other.variants = {'low': {'position': 0.1}, 'same': {}}
  other.variant_scores = ('residual',)
  copy = run.with_name('varied')
  shutil.copytree(run, copy)
  text = run_folder.run(other, str(copy))
  assert 'low: residual  ' in text  # no mark: a variant chooses no map
  assert 'low: standardised' not in text and 'same: ' not in text
  summary = json.loads((copy / 'variants' / 'low' / 'results.json').read_text())
  assert list(summary['scorers']) == ['residual']


def test_a_folder_that_is_no_run_is_left_alone(world, tmp_path):
  config, _, _, _ = world
  (tmp_path / 'thesis.txt').write_text('precious')
  with pytest.raises(ValueError, match='not empty and no run'):
    run_folder.run(config, str(tmp_path))
  assert [p.name for p in tmp_path.iterdir()] == ['thesis.txt']


@pytest.mark.parametrize(
  'change, sentence',
  [
    (dict(name='vea'), "no 'vea' in methods; there are vae, "),
    (dict(latnet=3), "method 'vae' takes no 'latnet'; it takes widths, latent"),
  ],
)
def test_a_mistake_in_the_method_is_named(world, tmp_path, change, sentence):
  other = world[0].copy_and_resolve_references()
  other.method.update(change)
  with pytest.raises(ValueError, match=sentence):
    run_folder.run(other, str(tmp_path / 'run'))
  assert not (tmp_path / 'run').exists()


def test_an_unknown_split_is_named(world, tmp_path):
  other = world[0].copy_and_resolve_references()
  other.data.train = 'trian'
  with pytest.raises(ValueError, match="no split 'trian'; there are train, val, test"):
    run_folder.run(other, str(tmp_path / 'run'))


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
