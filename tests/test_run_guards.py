"""A run does not go on with other data, an older checkpoint, or beside another."""

import json
import os
import pathlib
import shutil
import socket

import pytest

from tests.small_run import world as world  # the finished run
from uad_jax import other_cohort, registry, resume, run_folder, trained_run
from uad_jax.data import locks


def copied(run, tmp_path):
  shutil.copytree(run, tmp_path / 'run')
  return tmp_path / 'run'


def truncate_newest(run):
  newest = max((run / 'checkpoints').glob('[0-9]*'), key=lambda p: int(p.name))
  files = [p for p in newest.rglob('*') if p.is_file() and p.stat().st_size]
  for path in files:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize('noted', [True, False], ids=['noted', 'older results'])
def test_thresholds_of_another_checkpoint_are_refused(world, tmp_path, noted, capsys):
  config, source, run, _ = world
  run = copied(run, tmp_path)
  path = run / 'results.json'
  before = json.loads(path.read_text())
  assert before['step'] == 6
  if not noted:
    path.write_text(json.dumps({k: v for k, v in before.items() if k != 'step'}))
  assert trained_run.load(run).thresholds == before['scorers']['residual']['thresholds']
  truncate_newest(run)
  for use in (trained_run.load, lambda run: other_cohort.evaluate_elsewhere(
    run, str(source), {}
  )):  # fmt: skip
    with pytest.raises(ValueError) as error:
      use(run)
    assert str(error.value) == (
      f'the newest checkpoint of {run} that can be read is of step 3, and the '
      'thresholds in its results.json belong to step 6; run uad_jax.main with this '
      '--workdir again, which trains on from there and evaluates anew'
    )
  if noted:  # the remedy
    capsys.readouterr()
    run_folder.run(config, str(run))
    assert 'resuming at step 3 of 6' in capsys.readouterr().err
    assert json.loads(path.read_text())['scorers'] == before['scorers']
    trained_run.load(run)


def test_a_finished_run_without_checkpoints_is_left_alone(world, tmp_path, capsys):
  config, _, run, text = world
  run = copied(run, tmp_path)
  shutil.rmtree(run / 'checkpoints')
  run_folder.run(config, str(run))
  assert 'nothing left to do' in capsys.readouterr().err


@pytest.mark.parametrize('older', [False, True], ids=['digests', 'older card'])
def test_training_does_not_go_on_with_other_data(world, tmp_path, older):
  config, _, run, _ = world
  run = copied(run, tmp_path)
  card = json.loads((run / 'model.json').read_text())
  assert card['digests'] == {'': card['manifest']}
  other = card | {'manifest': '0' * 64, 'digests': {'': '0' * 64}}
  if older:
    del other['digests']
  (run / 'model.json').write_text(json.dumps(other))
  with pytest.raises(ValueError, match=r'was trained on the data .* \(000000000000\)'):
    run_folder.run(config, str(run))
  assert json.loads((run / 'model.json').read_text()) == other
  shutil.rmtree(run / 'checkpoints')  # nothing was trained or evaluated
  (run / 'results.json').unlink()
  resume.check_data(run, card, json.loads((run / 'config.json').read_text()))


def test_a_run_keeps_its_data_when_the_source_changes(world, tmp_path, capsys):
  config, source, run, text = world
  run = copied(run, tmp_path)
  table = source / 'participants.tsv'
  before = table.read_text()
  prepared = pathlib.Path(config.data.dir, 'nifti_folder')
  names = {path.name for path in prepared.iterdir()}
  assert before.count('\ttrain') == 3
  table.write_text(before.replace('\ttrain', '\ttest', 1))
  try:
    run_folder.run(config, str(run))
    told = capsys.readouterr().err
    assert 'changed since this run began: split of sub-00 train -> test' in told
    assert 'nothing left to do' in told
    run_folder.run(config, str(tmp_path / 'new'), until='data')
    assert 'prepared anew as heads-16x16-' in capsys.readouterr().err
    assert not (tmp_path / 'new').exists()
  finally:
    table.write_text(before)
  assert len({path.name for path in prepared.iterdir()} - names) == 1
  assert run_folder.run(config, str(run))
  assert 'changed' not in capsys.readouterr().err


def test_two_processes_do_not_work_in_one_folder(world, tmp_path):
  config, _, run, _ = world
  run = copied(run, tmp_path)
  process = f'process {os.getpid()} on {socket.gethostname()} works in {run}; wait for'
  with locks.alone(run / resume.LOCKS[0], None):
    with pytest.raises(ValueError, match=process):
      run_folder.run(config, str(run))
  run_folder.run(config, str(run))
  assert not (run / resume.LOCKS[0]).exists()


def test_a_folder_that_was_made_for_nothing_is_removed(tmp_path):
  with resume.alone(tmp_path / 'a'):
    assert (tmp_path / 'a').is_dir()
    resume.check_claim(tmp_path / 'a', {})
  assert not (tmp_path / 'a').exists()
  with resume.alone(tmp_path / 'b'):
    (tmp_path / 'b' / 'config.json').write_text('')
  assert (tmp_path / 'b').exists()
  with pytest.raises(ValueError, match='is a file; choose a folder'):
    resume.check_claim(tmp_path / 'b' / 'config.json', {})


def test_a_run_that_was_stopped_before_a_variant_is_not_finished(world, tmp_path):
  config, _, run, _ = world
  run = copied(run, tmp_path)
  other = config.copy_and_resolve_references()
  other.variants = {'low': {'position': 0.1}}
  settings = registry.plain(other)
  path = run / 'results.json'
  results = json.loads(path.read_text())
  results['run']['config'] = settings
  path.write_text(json.dumps(results))
  assert run_folder.outdated(run, settings) is None
  assert run_folder.unevaluated(run, settings).endswith('low/results.json is missing')
  assert not run_folder.is_finished(other, str(run))
