import importlib.metadata
import signal
import subprocess
import sys

import pytest
from absl import flags

import uad_jax
from tests.conftest import ROOT
from uad_jax import cli, prepare


def test_a_config_files_error_is_told_by_its_cause():
  error = flags.Error(
    'flag --config: Traceback\n  File x\nValueError: unknown argument'
  )
  assert cli.sentence(error) == 'ValueError: unknown argument'


def test_an_unknown_key_is_told_with_the_nearest():
  error = AttributeError('\'latnt\'\nDid you mean "latent" instead of "latnt"?')
  assert str(cli.unknown_key(error)) == (
    "the config has no key 'latnt'; the nearest is 'latent'"
  )
  assert str(cli.unknown_key(KeyError("'x'"))) == "the config has no key 'x'"


def test_an_error_of_the_system_begins_with_its_file():
  error = OSError(28, 'No space left on device', 'maps/T1_lesion.nii.gz')
  assert cli.sentence(error) == 'maps/T1_lesion.nii.gz: No space left on device'
  assert cli.sentence(FileNotFoundError('x does not exist')) == 'x does not exist'


def test_ctrl_c_is_one_line(monkeypatch, capsys):
  def main(_):
    raise KeyboardInterrupt

  monkeypatch.setattr(cli, 'prepare', lambda: None)
  monkeypatch.setattr(cli.app, 'run', lambda call, flags_parser: call(['x']))
  with pytest.raises(SystemExit) as stopped:
    cli.run(main)
  assert stopped.value.code == 130
  assert len(capsys.readouterr().err.splitlines()) == 1


def heeding(*arguments):
  """A command of Python that ends by Ctrl-C.

  A shell that runs the tests in the background lets its processes ignore it.
  """
  code = (
    'import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); '
    'os.execv(sys.executable, [sys.executable, *sys.argv[1:]])'
  )
  return [sys.executable, '-c', code, *arguments]


@pytest.mark.parametrize(
  'module', ['main', 'prepare', 'benchmark', 'tune', 'choose_weight']
)
def test_ctrl_c_during_the_imports_is_one_line(module):
  told = []
  with subprocess.Popen(
    heeding('-X', 'importtime', '-m', f'uad_jax.{module}'),
    cwd=ROOT,
    stderr=subprocess.PIPE,
    text=True,
  ) as process:
    for line in process.stderr:
      told.append(line)
      if line.endswith(' absl\n'):  # the first package that each imports
        process.send_signal(signal.SIGINT)
  others = [line for line in told if not line.startswith('import time:')]
  assert others == ['interrupted\n'] and process.returncode == 130


def test_every_command_heeds_ctrl_c_during_its_imports():
  # Oracle: the modules of the package that start by `cli.run`, and the programs that
  # are installed with it.
  folder = ROOT / 'uad_jax'
  files = [*folder.glob('*.py'), *folder.glob('*/__main__.py')]
  places = [path for path in files if 'cli.run(' in path.read_text()]
  starts = {p.parent.name if p.stem == '__main__' else p.stem for p in places}
  assert starts | {'prepare'} == {*uad_jax.MODULES}
  programs = importlib.metadata.distribution('uad_jax').entry_points
  assert {program.name for program in programs} == {*uad_jax.SCRIPTS}


def test_prepare_restores_the_handler_of_ctrl_c(monkeypatch, capsys):
  def interrupted(_):
    """Stands for the subcommand."""
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    raise KeyboardInterrupt

  monkeypatch.setattr(prepare, 'list_', interrupted)
  before = signal.signal(signal.SIGINT, uad_jax.end_at_once)
  try:
    assert prepare.main(['list']) == 130
  finally:
    signal.signal(signal.SIGINT, before)
  assert len(capsys.readouterr().err.splitlines()) == 1


def test_ctrl_c_while_the_config_is_read_is_one_line(monkeypatch, capsys):
  def interrupted(*_, **__):
    raise KeyboardInterrupt

  monkeypatch.setattr(cli.app, 'run', interrupted)
  with pytest.raises(SystemExit) as stopped:
    cli.run(None)
  assert stopped.value.code == 130
  assert capsys.readouterr().err.endswith(': interrupted\n')


def test_a_program_that_imports_the_package_keeps_its_handler():
  code = 'import signal, uad_jax; print(signal.getsignal(signal.SIGINT).__name__)'
  done = subprocess.run(heeding('-c', code), cwd=ROOT, capture_output=True)
  assert done.stdout == b'default_int_handler\n'


def test_a_shipped_config_is_found_from_any_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  path = str(ROOT / 'configs' / 'dae_unc.py')
  given = ['x', '--config=dae_unc:ixi', '--config', 'dae_unc', '--workdir=a:b']
  named = ['x', f'--config={path}:ixi', '--config', path, '--workdir=a:b']
  assert cli.with_config_paths(given) == named
  assert cli.with_config_paths(named) == named
  own = ['--config=mine/vae.py:demo']
  assert cli.with_config_paths(own) == own
  with pytest.raises(FileNotFoundError, match="no config 'dea'; there are aae, ae, "):
    cli.with_config_paths(['--config=dea'])


def run(*arguments):
  return subprocess.run(
    [sys.executable, '-m', *arguments],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=120,
  )


@pytest.mark.parametrize(
  'arguments, sentence',
  [
    (('uad_jax.main', '--bogus=1'), "Unknown command line flag 'bogus'"),
    pytest.param(
      ('uad_jax.main', '--config=configs/nope.py', '--workdir=unused'),
      'configs/nope.py',
      marks=pytest.mark.slow,
    ),
    pytest.param(
      ('uad_jax.predict', '--checkpoint=nowhere', '--input=README.md', '--output=x'),
      'nowhere has no model.json',
      marks=pytest.mark.slow,
    ),
  ],
  ids=['flag', 'file', 'run'],
)
def test_a_mistake_is_one_sentence_and_not_success(arguments, sentence):
  done = run(*arguments)
  assert done.returncode != 0
  assert sentence in done.stderr and 'Traceback' not in done.stderr
  assert not (ROOT / 'unused').exists() and not (ROOT / 'x').exists()
