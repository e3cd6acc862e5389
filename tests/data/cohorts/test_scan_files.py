"""Searching folders: links, cycles, shadow files, folders that may not be read."""

import os
import pathlib
import time

import pytest

from tests.data.cohorts.folders import touch
from uad_jax.data.cohorts import cohort, layout, lesion_plan, scan_files
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.datasets import catalogue

SCAN = 'anat/sub-A_T1w.nii.gz'


def names(root, pattern):
  return [p.relative_to(root).as_posix() for p in scan_files.scans(root, pattern)]


@pytest.mark.parametrize(
  'pattern',
  [
    '*.nii*',
    '**/*.nii*',
    'sub-*/**/anat/*_T1w.nii*',
    '*/*/anat/*[a-z].nii.gz',
    'sub-A/anat/sub-?_T1w.nii.gz',
    './sub-A//anat/*',
    '**/sub-*/**/*',
    'sub-A/../sub-B/ses-1/anat/*',
    'x.nii',
    'gone/*',
  ],
)
def test_without_links_it_finds_what_pathlib_finds(tmp_path, pattern):
  touch(tmp_path, f'sub-A/{SCAN}', f'sub-B/ses-1/{SCAN}', 'x.nii', 'y.txt', 'z/x.img')
  expected = [p for p in sorted(tmp_path.glob(pattern)) if p.suffix in ('.nii', '.gz')]
  if pattern.startswith('**/sub'):
    expected = [p for p in expected if p.is_file()]
  assert scan_files.scans(tmp_path, pattern) == expected


@pytest.mark.parametrize(
  'link, target',
  [
    ('sub-A', '../store/A'),
    ('sub-A/ses-01', '../../store/A/ses-01'),
    ('sub-A/ses-01/anat', '../../../store/A/ses-01/anat'),
    (f'sub-A/ses-01/{SCAN}', f'../../../../store/A/ses-01/{SCAN}'),
  ],
)
def test_linked_folders_are_followed(tmp_path, capsys, link, target):
  touch(tmp_path, f'store/A/ses-01/{SCAN}', 'bids/sub-B/anat/sub-B_T1w.nii')
  path = tmp_path / 'bids' / link
  path.parent.mkdir(parents=True, exist_ok=True)
  path.symlink_to(target)
  entries = layout.find(tmp_path / 'bids', layout.bids())
  assert [(e.subject, e.session) for e in entries] == [
    ('sub-A', 'ses-01'),
    ('sub-B', ''),
  ]
  assert entries[0].image == str(tmp_path / f'bids/sub-A/ses-01/{SCAN}')
  assert capsys.readouterr().err == f'{tmp_path}/bids: 2 subjects, 2 scans\n'


def test_a_link_within_the_folder(tmp_path, capsys):
  touch(tmp_path, f'sourcedata/A/{SCAN}', f'sub-B/ses-1/{SCAN}')
  (tmp_path / 'sub-A').mkdir()
  (tmp_path / 'sub-A/ses-1').symlink_to('../sourcedata/A')
  (tmp_path / 'sub-B/latest').symlink_to('ses-1')
  (tmp_path / 'sub-C').symlink_to('sub-B')
  entries = layout.find(tmp_path, layout.bids())
  assert [(e.subject, e.session) for e in entries] == [
    ('sub-A', 'ses-1'),
    ('sub-B', 'ses-1'),
  ]
  assert not any(entry.problem for entry in entries)
  told = capsys.readouterr().err
  assert '2 subjects, 2 scans' in told
  assert f'links to images that are read anyway: {tmp_path}/sub-B/latest' in told
  assert told.count(f' is {tmp_path}/sub-B/ses-1/') == 3  # by latest, and by sub-C


def test_masks_may_share_a_file(tmp_path):
  touch(tmp_path, 'x/a.nii', 'x/b.nii', 'common.nii')
  (tmp_path / 'm').mkdir()
  for name in 'ab':
    (tmp_path / f'm/{name}_mask.nii').symlink_to('../common.nii')
  entries = layout.find(tmp_path, layout.flat('x/*', mask='m/*'))
  assert [e.problem for e in entries] == ['', '']


def test_link_cycles_end(tmp_path):
  touch(tmp_path, f'sub-A/{SCAN}')
  for name, target in (('up', '..'), ('self', '.'), ('root', '/'), ('none', 'none')):
    (tmp_path / 'sub-A' / name).symlink_to(target)
  assert names(tmp_path, '**/*') == [f'sub-A/{SCAN}']
  assert names(tmp_path, 'sub-*/**/anat/*_T1w.nii*') == [f'sub-A/{SCAN}']
  (tmp_path / 'sub-B').symlink_to('/')
  (tmp_path / 'sub-C').symlink_to(tmp_path.parent)
  assert names(tmp_path, 'sub-*/**/anat/*_T1w.nii*') == [f'sub-A/{SCAN}']
  woven = tmp_path / 'woven'
  for i in range(8):
    touch(woven, f'{i}/x.nii')
  for i in range(8):
    for j in set(range(8)) - {i}:
      (woven / f'{i}/to{j}').symlink_to(f'../{j}')
  start = time.monotonic()
  paths = scan_files.scans(woven, '**/*.nii')
  assert time.monotonic() - start < 2
  once, _ = scan_files.once(paths)
  assert once == [woven / f'{i}/x.nii' for i in range(8)]


def test_links_that_multiply_are_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(scan_files, 'REPEATS', 10)
  touch(tmp_path, 'store/x.nii')
  for i in range(20):
    (tmp_path / f'link{i}').symlink_to('store')
  with pytest.raises(BadScan, match='same folders more than 10 times; allowed'):
    scan_files.scans(tmp_path, '**/*.nii')


def test_shadow_and_hidden_files_are_left_out(tmp_path):
  touch(tmp_path, 'x.nii', '._x.nii', '.y.nii', '.Trash/z.nii', '.git/a/z.nii')
  touch(tmp_path, '__MACOSX/._x.nii', 'dir.nii/x.txt')
  assert names(tmp_path, '**/*.nii') == ['x.nii']
  assert names(tmp_path, '.*') == names(tmp_path, '._x.nii') == []
  assert names(tmp_path, '.Trash/*') == ['.Trash/z.nii']
  touch(tmp_path, 'masks/a.nii.gz', 'masks/b.nii.gz', 'masks/._a.nii.gz')
  for some in lesion_plan.divide(tmp_path / 'masks', 0):
    assert len(some) == 1


def test_a_link_to_an_absent_file_is_a_problem(tmp_path):
  touch(tmp_path, f'sub-B/{SCAN}')
  (tmp_path / 'sub-A/anat').mkdir(parents=True)
  (tmp_path / f'sub-A/{SCAN}').symlink_to('../.git/annex/x.nii.gz')
  absent, present = layout.find(tmp_path, layout.bids())
  assert 'which is absent; fetch that file' in absent.problem
  assert not present.problem


@pytest.mark.skipif(os.geteuid() == 0, reason='root may read everything')
def test_a_folder_that_may_not_be_read(tmp_path, capsys):
  touch(tmp_path, f'sub-A/{SCAN}', f'sub-B/{SCAN}')
  (tmp_path / 'sub-B/anat').chmod(0)
  try:
    assert [e.subject for e in layout.find(tmp_path, layout.bids())] == ['sub-A']
  finally:
    (tmp_path / 'sub-B/anat').chmod(0o700)
  assert f'left out as it may not be read: {tmp_path}/sub-B/anat' in (
    capsys.readouterr().err
  )


def test_folders_that_fail_are_told(tmp_path, monkeypatch, capsys):
  touch(tmp_path, f'sub-A/{SCAN}', f'sub-B/{SCAN}')
  scandir = os.scandir

  def failing(path):
    if pathlib.Path(path) == tmp_path / 'sub-B/anat':
      raise PermissionError(13, 'Permission denied')
    return scandir(path)

  monkeypatch.setattr(os, 'scandir', failing)
  assert [e.subject for e in layout.find(tmp_path, layout.bids())] == ['sub-A']
  told = f'left out as it may not be read: {tmp_path}/sub-B/anat (Permission denied)'
  assert told in capsys.readouterr().err


@pytest.mark.parametrize(
  'pattern, says',
  [
    ('', 'is no pattern of files'),
    ('/data/*.nii', 'is no pattern of files; allowed is a path below the folder'),
    ('x\0', 'is no pattern of files'),
    ('a/' * 200, 'is no pattern of files'),
    ('sub-**/x.nii', r'has \*\* beside other characters'),
  ],
)
def test_patterns_that_are_none(tmp_path, pattern, says):
  with pytest.raises(BadScan, match=says):
    layout.find(tmp_path, layout.flat(pattern))


def test_cohorts_in_linked_folders(tmp_path, capsys):
  touch(tmp_path, 'disk/IXI-T1/IXI002-Guys-0828-T1.nii.gz')
  touch(tmp_path, 'disk/IXI-T1/._IXI002-Guys-0828-T1.nii.gz')
  (tmp_path / 'ixi').mkdir()
  (tmp_path / 'ixi/T1').symlink_to('../disk/IXI-T1')
  entries, _ = cohort.find(str(tmp_path / 'ixi'), catalogue.cohort('ixi'), 't1')
  assert [e.subject for e in entries] == ['IXI002']
  told = capsys.readouterr().err
  assert '1 subject, 1 scan\n' in told
  assert 'the table of subjects of ixi is missing or names none of these' in told


@pytest.mark.realdata
def test_real_folders_are_read_as_before(real_data):
  for name in ('ixi_t1_2mm', 'ms_t1_flair'):
    for pattern in ('sub-*/**/anat/*.nii*', 'derivatives/*/sub-*/**/*.nii*'):
      expected = sorted((real_data / name).glob(pattern))
      assert scan_files.scans(real_data / name, pattern) == expected
