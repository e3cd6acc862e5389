"""Two processes build one data set; one is stopped by Ctrl-C and started again."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.data.heads import head, write
from tests.datasets import lesion_trees
from uad_jax.data import locks, manifest
from uad_jax.data.cohorts import sources
from uad_jax.datasets import catalogue
from uad_jax.datasets.nifti_folder import nifti_folder_dataset_builder as nifti_folder


@pytest.fixture
def opened(tmp_path):
  """Function that opens the builder of a flat folder with two scans."""
  image, labels, affine = head(8.0, (30, 26, 25))
  for name in 'ab':
    stripped = np.where(labels > 0, image + 1, 0).astype(np.float32)
    write(tmp_path / f'scans/{name}.nii', stripped, affine)
  steps = (
    ('check', {}), ('reorient', {}), ('brain_mask', {}), ('intensity', {}),
    ('pad_or_crop', {'shape': (28, 28)}), ('slices', {}),
  )  # fmt: skip
  options = {'layout': 'flat', 'steps': steps, 'workers': 1}
  return lambda: nifti_folder.open_builder(
    tmp_path / 'scans', tmp_path / 'data', fractions={'test': 1.0}, **options
  )


def test_the_second_waits_and_says_for_whom(opened, monkeypatch, capsys):
  monkeypatch.setattr(locks, 'PAUSE', 0.01)
  builder = opened()
  name = f'nifti_folder-{builder.builder_config.name}.lock'
  path = pathlib.Path(builder.data_dir).parents[2] / '.parts' / name
  held, free = threading.Event(), threading.Event()

  def hold():
    with locks.alone(path, None):
      held.set()
      free.wait(30)

  thread = threading.Thread(target=hold)
  thread.start()
  held.wait(30)
  threading.Timer(0.2, free.set).start()
  builder.download_and_prepare()
  thread.join()
  words = f'is being prepared by process {os.getpid()} on {socket.gethostname()}; wait'
  assert words in capsys.readouterr().err
  assert builder.info.splits['test'].num_examples > 5


def test_a_builder_takes_what_another_has_built_since_it_was_opened(opened):
  first, second = opened(), opened()
  first.download_and_prepare()
  second.download_and_prepare()
  assert second.info.splits['test'].num_examples > 5
  assert len(list(second.as_data_source('test'))) > 5


def content(data):
  """Manifest and record; the order of keys in the records is that of a process."""
  (ready,) = catalogue.prepared(data, 'mslub')
  names = (manifest.NAME, sources.NAME, 'dataset_info.json')
  return {name: (ready.folder / name).read_bytes() for name in names}


def command(source, data):
  places = [f'--source={source}', f'--data_dir={data}', '--workers=2']
  options = ['--preset=heer2021', '--shape', '40', '48', '--spacing=8']
  start = [sys.executable, '-m', 'uad_jax.prepare', 'build', 'mslub']
  return [*start, *places, *options, '--contrast=flair']


@pytest.mark.slow
def test_two_builds_at_once_and_one_that_is_interrupted_end_alike(tmp_path):
  source, data = tmp_path / 'mslub', tmp_path / 'data'
  lesion_trees.mslub(source)
  both = [
    subprocess.Popen(command(source, data), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    for _ in range(2)
  ]
  told = [process.communicate(timeout=300)[1] for process in both]
  assert [process.returncode for process in both] == [0, 0], told
  whole = content(data)
  assert not list((data / '.parts').iterdir())

  other, log = tmp_path / 'other', tmp_path / 'log'
  with log.open('w') as file:
    process = subprocess.Popen(
      command(source, other), cwd=ROOT, stderr=file, stdout=file, start_new_session=True
    )
  deadline = time.monotonic() + 120
  while not list(other.glob('.parts/*/*')) and time.monotonic() < deadline:
    assert process.poll() is None, log.read_text()
    time.sleep(0.005)
  os.killpg(process.pid, signal.SIGINT)  # as a terminal does
  assert process.wait(60) == 130
  assert 'Traceback' not in log.read_text()
  assert 'stopped; the same command goes on from there' in log.read_text()
  leftovers = [p for p in other.rglob('*') if p.is_file() and p.suffix != '.npz']
  assert not leftovers
  subprocess.run(command(source, other), cwd=ROOT, check=True, capture_output=True)
  assert content(other) == whole
