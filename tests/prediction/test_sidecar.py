"""A prediction is current if all that it was made from is the same."""

import os

import pytest

from uad_jax.prediction import file_stamps, sidecar


@pytest.fixture
def made(tmp_path):
  """A sidecar, its folder, and the files that it was made from."""
  scan, labels = tmp_path / 'scan.nii', tmp_path / 'labels.nii'
  scan.write_bytes(b'a scan')
  labels.write_bytes(b'labels')
  stamps = {'scan': file_stamps.stamp(scan), 'labels': file_stamps.stamp(labels)}
  content = {'made_from': {'run': 'r', **stamps}, 'files': [scan.name]}
  return content, tmp_path, {'scan': scan, 'mask': None, 'labels': labels}


def test_the_same_files_and_run_are_current(made):
  content, folder, files = made
  assert sidecar.is_current(content, folder, 'r', files)
  os.utime(files['scan'], (1, 1))  # another time, the same content
  assert sidecar.is_current(content, folder, 'r', files)


def test_whatever_differs_makes_it_outdated(made):
  content, folder, files = made
  assert not sidecar.is_current(content, folder, 'another', files)
  assert not sidecar.is_current(content, folder / 'sub', 'r', files)
  for change in ({'mask': files['labels']}, {'labels': None}, {'scan': folder / 'no'}):
    assert not sidecar.is_current(content, folder, 'r', files | change)
  assert not sidecar.is_current({}, folder, 'r', files)
  files['labels'].write_bytes(b'Labels')
  assert not sidecar.is_current(content, folder, 'r', files)


def test_other_json_files_are_no_sidecars(tmp_path):
  for text in ('{"EchoTime": 3}', '[1]', 'no json', '\udcff'):
    (tmp_path / 'a.json').write_text(text, errors='surrogateescape')
    assert sidecar.read(tmp_path / 'a.json') == {}
  assert sidecar.read(tmp_path / 'b.json') == {}
