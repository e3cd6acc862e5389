"""Files appear whole or not at all, and an error names the file."""

import copy
import errno
import json
import os

import pytest

from uad_jax.report import atomic_files, run_file_forms


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


SOUND = {
  'config.json': {
    'method': {'name': 'vae'}, 'data': {}, 'scores': {}, 'optimiser': {},
    'batch_size': 4, 'seed': 0, 'steps': [6],
  },
  'model.json': {'shape': [16, 16], 'channels': 1, 'steps': [['check', {}]]},
  'results.json': {
    'schema': '1.2', 'run': {'config': {}}, 'default': 'residual',
    'protocol': {'postprocess': 'median'},
    'scorers': {'residual': {'thresholds': {'1': 0.5, '5': 1}}},
  },
}  # fmt: skip
"""Entries of the files of a run folder."""

WRONG = {
  'shape': ([16], [16, 0], [16, 1.5], {}, [True, 2]),
  'steps': (3, {}, 'check'),
  'batch_size': ('4', 4.5, True, None),
  'scorers': ([], {'a': 3}, {'a': {}}, {'a': {'thresholds': {'1': 'x'}}}),
}


@pytest.mark.parametrize('name', SOUND)
def test_run_files_of_another_form_are_refused_by_name(tmp_path, name):
  path, used = tmp_path / name, run_file_forms.USED.get(name, ())
  path.write_text(json.dumps(SOUND[name]))
  assert atomic_files.read_json(path, used) == SOUND[name]
  damaged = [{}, []]
  for entry in (*run_file_forms.FORMS[name], *used):
    *groups, last = entry.key.split('.')
    for value in ('absent', *WRONG.get(last, ([{}], None))):
      content = copy.deepcopy(SOUND[name])
      place = content
      for group in groups:
        place = place[group]
      if value == 'absent':
        del place[last]
      else:
        place[last] = value
      damaged.append(content)
    if groups:
      damaged.append({**SOUND[name], groups[0]: 3})
  for content in damaged:
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError) as error:
      atomic_files.read_json(path, used)
    assert str(error.value).startswith(f'{path} is damaged: it')
    assert '\n' not in str(error.value)


def test_other_files_have_any_entries(tmp_path):
  (tmp_path / 'training.json').write_text('{}')
  assert atomic_files.read_json(tmp_path / 'training.json') == {}
