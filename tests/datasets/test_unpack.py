"""Archives are unpacked inside of their folder, by old and new Pythons."""

import tarfile

import pytest

from uad_jax.data.cohorts import download
from uad_jax.data.preprocessing.bad_scan import BadScan


@pytest.fixture(params=['3.11.0', '3.11.4'])
def python(request, monkeypatch):
  """Python before and after its filter of tar archives."""
  if request.param == '3.11.0':
    monkeypatch.delattr(tarfile, 'data_filter', raising=False)


@pytest.mark.usefixtures('python')
def test_a_tar_archive_writes_nothing_outside_of_its_folder(tmp_path):
  scan, archive, into = (
    tmp_path / 'scan.nii',
    tmp_path / 'a.tar',
    tmp_path / 'in' / 'to',
  )
  scan.write_bytes(b'scan')
  with tarfile.open(archive, 'w') as file:
    file.add(scan, 'ixi/scan.nii')
  download._unpack(archive, into)
  assert (into / 'ixi/scan.nii').read_bytes() == b'scan'
  with tarfile.open(archive, 'w') as file:
    file.add(scan, '../scan.nii')
  with pytest.raises(BadScan, match='no archive that can be unpacked'):
    download._unpack(archive, into)
  assert [path.name for path in (tmp_path / 'in').iterdir()] == ['to']
