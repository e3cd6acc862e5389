import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.online.synthetic_stream import begin, leaves, play, scan_of
from uad_jax.data.locks import Busy
from uad_jax.online import state_file, stream
from uad_jax.online.guards import Guards
from uad_jax.online.state_file import Saved

UNFROZEN = {'guards': Guards(frozen=False, drop_percent=float('inf')), 'depth': 3}


@pytest.fixture(scope='module')
def saved():
  return Saved(*play(begin(), 0.3, 6))


@pytest.fixture
def path(saved, tmp_path):
  with state_file.opened(tmp_path / 'new' / 'state.npz', 'model 1') as file:
    assert file.read() is None
    file.write(saved)
  return tmp_path / 'new' / 'state.npz'


def test_a_state_is_read_back_to_the_same_bits(saved, path):
  content = state_file.read(path, 'model 1')
  assert leaves(content.stream) == leaves(saved.stream)
  assert content.log == saved.log
  assert type(content.stream) is type(saved.stream)
  names = [type(part).__name__ for part in content.stream if isinstance(part, tuple)]
  assert names == [type(p).__name__ for p in saved.stream if isinstance(p, tuple)]
  # And goes on as if it had not been away.
  scan = scan_of(60, artefact=2.5)
  one, _, line = stream.observe(content.stream, scan)
  other, _, same = stream.observe(saved.stream, scan)
  assert leaves(one) == leaves(other) and line == same
  assert os.listdir(path.parent) == ['state.npz']  # neither lock nor temporary file


def test_states_without_a_frozen_reference_or_moments_are_stored(tmp_path):
  state, log = play(begin(voxels=False, **UNFROZEN), 0.0, 3)
  assert state.calibration.spot.window.shape == (3,)
  place = tmp_path / 'state.npz'
  with state_file.opened(place, 'm') as file:
    file.write(Saved(state, log))
    assert leaves(file.read().stream) == leaves(state)


def test_the_state_of_another_model_is_refused(path):
  with pytest.raises(ValueError, match='is the state of model model 1; allowed is'):
    state_file.read(path, 'model 2')


def test_a_state_of_another_version_is_refused(path, saved, monkeypatch):
  monkeypatch.setattr(state_file, 'VERSION', 9)
  with pytest.raises(ValueError, match='has version 1; allowed is 9'):
    state_file.read(path, 'model 1')


def test_a_damaged_file_is_refused(path):
  data = path.read_bytes()
  rng = np.random.default_rng(0)
  damaged = [b'', b'{}', data[:100], data[: len(data) // 2], data[:-1]]
  damaged += [json.dumps({'stream': 1}).encode()]
  for place in rng.integers(len(data), size=60):
    damaged.append(data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :])
  refused = 0
  for content in damaged:
    path.write_bytes(content)
    try:
      read = state_file.read(path, 'model 1')
    except ValueError as error:
      assert 'is damaged; allowed is a whole state file' in str(error)
      refused += 1
    else:  # a byte of the zip's headers that nobody reads, such as a date
      assert read.stream.steps == 6
  assert refused >= 60


def test_an_array_that_was_exchanged_is_noticed(path):
  with np.load(path) as file:
    entries = dict(file)
  name = 'stream.patterns.background.mean'
  entries[name] = entries[name] + np.float32(1)
  np.savez(path, **entries)
  with pytest.raises(ValueError, match='is damaged'):
    state_file.read(path, 'model 1')


def test_two_writers_at_once_are_refused(path, saved):
  code = (
    'import pathlib, sys; from uad_jax.online import state_file\n'
    f'with state_file.opened(pathlib.Path({str(path)!r}), "model 1"): pass'
  )
  with state_file.opened(path, 'model 1') as file:
    with pytest.raises(Busy, match=f'in use by process {os.getpid()} on .*one at a'):
      with state_file.opened(path, 'model 1'):
        pass
    command = [sys.executable, '-c', code]
    other = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert other.returncode != 0 and f'in use by process {os.getpid()}' in other.stderr
    file.write(saved)
  with state_file.opened(path, 'model 1') as file:  # free again
    assert file.read().stream.steps == 6


def test_a_write_that_fails_keeps_the_old_file(path, saved, monkeypatch):
  before = path.read_bytes()

  def full(*_, **__):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(state_file.np, 'savez', full)
  with state_file.opened(path, 'model 1') as file:
    with pytest.raises(OSError, match='No space.*state.npz'):
      file.write(saved)
  assert path.read_bytes() == before and os.listdir(path.parent) == ['state.npz']
