"""The cache folder can be written, or there is none."""

import pathlib
import stat

import pytest

from uad_jax.data import cache


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
  monkeypatch.setattr('tempfile.tempdir', str(tmp_path / 'tmp'))
  (tmp_path / 'tmp').mkdir()
  monkeypatch.setenv('HOME', str(tmp_path / 'home'))
  monkeypatch.delenv('UAD_CACHE', raising=False)
  cache._usable.cache_clear()
  yield
  cache._usable.cache_clear()


def test_the_default_lies_in_the_home_folder(tmp_path):
  assert cache.folder() == tmp_path / 'home/.cache/uad_jax'
  assert cache.folder().is_dir()


def test_without_a_home_it_is_temporary(tmp_path, monkeypatch, capsys):
  def expanduser(path):
    if '~' in str(path):
      raise RuntimeError('Could not determine home directory.')
    return path

  monkeypatch.setattr(pathlib.Path, 'expanduser', expanduser)
  assert cache.folder() == pathlib.Path(cache.temporary())
  assert cache.folder().parent == tmp_path / 'tmp'
  assert stat.S_IMODE(cache.folder().stat().st_mode) == 0o700
  assert capsys.readouterr().err == ''


def test_a_home_that_cannot_be_written_is_passed_over(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', '/dev/null')
  assert cache.folder().parent == tmp_path / 'tmp'


def test_a_chosen_folder_that_cannot_be_written_is_told(tmp_path, monkeypatch, capsys):
  monkeypatch.setenv('UAD_CACHE', '/dev/null/x')
  assert cache.folder().parent == tmp_path / 'tmp'
  assert capsys.readouterr().err == (
    'UAD_CACHE is /dev/null/x, which cannot be written; compiled programs are kept in '
    f'{cache.temporary()}\n'
  )
  assert cache.folder() is not None
  assert capsys.readouterr().err == ''  # once


def test_where_nothing_can_be_written_there_is_none(monkeypatch):
  monkeypatch.setenv('HOME', '/dev/null')
  monkeypatch.setattr(cache, 'temporary', lambda: pathlib.Path('/dev/null/tmp'))
  assert cache.folder() is None
