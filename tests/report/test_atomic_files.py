"""Files appear whole or not at all, and an error names the file."""

import errno
import os

import pytest

from uad_jax.report import atomic_files


def full(path):
  """Writes a part and then finds the disk full, as the system reports it."""
  path.write_text('half')
  raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def everything(folder):
  return sorted(p.name for p in folder.rglob('*') if p.is_file())


def test_files_that_belong_together_are_all_written(tmp_path):
  seen = []

  def write(path):
    seen.append(path)
    path.write_text('x')

  atomic_files.write_together(
    {tmp_path / name: write for name in ('a.nii.gz', 'below/b.json')}
  )
  assert everything(tmp_path) == ['a.nii.gz', 'b.json']
  assert all(path.name.startswith('.') for path in seen)
  assert [path.suffix for path in seen] == ['.gz', '.json']


@pytest.mark.parametrize('before', [None, 'old'])
def test_or_none_is_and_the_error_names_the_file(tmp_path, before):
  if before:
    (tmp_path / 'a').write_text(before)
  writers = {tmp_path / 'a': lambda path: path.write_text('new'), tmp_path / 'b': full}
  with pytest.raises(OSError, match='No space left') as error:
    atomic_files.write_together(writers)
  assert error.value.filename == str(tmp_path / 'b')
  assert error.value.errno == errno.ENOSPC
  assert everything(tmp_path) == (['a'] if before else [])
  assert not before or (tmp_path / 'a').read_text() == before


def test_a_text_on_a_full_disk_names_the_file(tmp_path):
  def write(file):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  with pytest.raises(OSError, match='No space left') as error:
    atomic_files.write_atomically(tmp_path / 'a', write)
  assert error.value.filename == str(tmp_path / 'a') and not everything(tmp_path)
