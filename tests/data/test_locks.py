"""One process at a time holds a lock; one that has ended holds none."""

import errno
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

import pytest

from uad_jax.data import locks


class Full:
  """A builder whose disk is full, as the system reports it for an open file."""

  data_dir = None

  def download_and_prepare(self):
    raise OSError(errno.ENOSPC, 'No space left on device')


class Builder(locks.BuiltAlone, Full):
  pass


def test_a_full_disk_is_told_with_the_folder(tmp_path):
  builder = Builder()
  builder.data_dir = str(tmp_path)
  with pytest.raises(OSError, match='No space left on device') as error:
    builder.download_and_prepare()
  assert error.value.filename == str(tmp_path) and error.value.errno == errno.ENOSPC


HOLD = """
import pathlib, sys, time
from uad_jax.data import locks
with locks.alone(pathlib.Path(sys.argv[1]), None):
  print('held', flush=True)
  time.sleep(60)
"""
HERE = f'process {os.getpid()} on {socket.gethostname()}'


@pytest.fixture(params=['flock', 'by name'])
def path(request, tmp_path, monkeypatch):
  if request.param == 'by name':  # a file system, or a system, without `flock`
    monkeypatch.setattr(locks, 'fcntl', None)
  return tmp_path / 'new' / 'folder.lock'


def test_a_lock_is_held_by_one_and_leaves_no_file(path):
  with locks.alone(path, None):
    with pytest.raises(locks.Busy, match=HERE):
      with locks.alone(path, None):
        pass
  with locks.alone(path, None):  # free again
    assert len(list(path.parent.iterdir())) == 1
  assert list(path.parent.iterdir()) == []


def test_an_error_frees_the_lock(path):
  with pytest.raises(KeyError), locks.alone(path, None):
    raise KeyError
  with locks.alone(path, None):
    pass


def test_one_waits_for_the_other_and_says_for_whom(path, monkeypatch):
  monkeypatch.setattr(locks, 'PAUSE', 0.01)
  order, told = [], []

  def second():
    with locks.alone(path, told.append):
      order.append('second')

  with locks.alone(path, None):
    thread = threading.Thread(target=second)
    thread.start()
    while not told:
      time.sleep(0.005)
    order.append('first')
  thread.join()
  assert order == ['first', 'second']
  assert len(told) == 1 and told[0].startswith(HERE)


def test_the_lock_of_a_killed_process_is_free(tmp_path):
  path = tmp_path / 'lock'
  holder = subprocess.Popen([sys.executable, '-c', HOLD, path], stdout=subprocess.PIPE)
  assert holder.stdout.readline() == b'held\n'
  with pytest.raises(locks.Busy, match=f'process {holder.pid} on'):
    with locks.alone(path, None):
      pass
  holder.kill()
  holder.wait()
  holder.stdout.close()
  with locks.alone(path, None):
    pass
  assert not path.exists()


def test_by_name_only_a_process_of_this_host_that_ended_is_passed_over(tmp_path):
  path = pathlib.Path(tmp_path, 'x.pid')
  ended = subprocess.Popen([sys.executable, '-c', ''])
  ended.wait()
  path.write_text(f'{ended.pid} elsewhere')
  words = f'process {ended.pid} on elsewhere .delete {path} if that process has ended'
  assert pytest.raises(locks.Busy, enter, path).match(words)
  path.write_text(f'{ended.pid} {socket.gethostname()}')
  enter(path)


def enter(path):
  release = locks._attempt_by_name(path)
  if isinstance(release, str):
    raise locks.Busy(release)
  release()


def test_a_file_system_without_flock_locks_by_name(tmp_path, monkeypatch):
  def flock(*_):
    raise OSError(errno.ENOTSUP, 'not supported')

  monkeypatch.setattr(locks.fcntl, 'flock', flock)
  with locks.alone(tmp_path / 'x.lock', None):
    assert [p.name for p in tmp_path.iterdir()] == ['x.pid']
  assert list(tmp_path.iterdir()) == []
