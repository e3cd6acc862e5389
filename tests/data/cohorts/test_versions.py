"""A source that changes is noticed, and prepared anew beside the old data."""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest

from tests.data.heads import head, write
from uad_jax.data import manifest
from uad_jax.data.cohorts import parts, sources, versions
from uad_jax.data.preprocessing import preprocess
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.datasets.nifti_folder import nifti_folder_dataset_builder as nifti_folder

SUBJECTS = {'sub-A': 'train', 'sub-B': 'train', 'sub-C': 'val', 'sub-D': 'test'}
OPTIONS = {
  'patterns': {'labels': 'derivatives/*/sub-*/**/*_dseg.nii.gz'},
  'steps': [
    step
    for step in preprocess.job((16, 16), 12.0, align=False, intensity='percentile')
    if step[0] != 'bias'  # which takes most of the time
  ],
  'workers': 1,
}


def write_table(source, splits):
  lines = [f'{name}\t{split}\n' for name, split in splits.items()]
  (source / 'participants.tsv').write_text('participant_id\tsplit\n' + ''.join(lines))


def add(source, subject, seed):
  image, labels, affine = head(8.0, (30, 26, 25), seed=seed)
  write(source / subject / 'anat' / f'{subject}_T1w.nii', image, affine, np.int16)
  place = source / 'derivatives/dlmuse' / subject / 'anat'
  write(place / f'{subject}_dseg.nii.gz', labels.astype(np.uint8), affine)


def opened(source):
  return nifti_folder.open_builder(source, source.parent / 'data', **OPTIONS)


def prepared(source):
  builder = opened(source).up_to_date()
  builder.download_and_prepare()
  return builder


def volumes(builder):
  stored = manifest.read(builder.data_dir)['volumes']
  return {v['subject']: (v['split'], v['sha256']) for v in stored}


def records(builder, split):
  return list(builder.as_data_source(split))


@pytest.fixture(scope='module')
def first(tmp_path_factory):
  """A folder of heads that was prepared once."""
  source = tmp_path_factory.mktemp('world') / 'heads'
  for seed, subject in enumerate(SUBJECTS):
    add(source, subject, seed)
  write_table(source, SUBJECTS)
  return source, prepared(source)


@pytest.fixture
def source(first):
  """The folder, put back at the end; later versions of the data are removed."""
  folder, builder = first
  kept = folder.parent / 'kept'
  shutil.copytree(folder, kept)
  yield folder
  shutil.rmtree(folder)
  kept.rename(folder)
  for path in pathlib.Path(builder.data_dir).parents[1].iterdir():
    if path.name != builder.builder_config.name:
      shutil.rmtree(path)


def test_an_unchanged_source_keeps_its_data(source, first, capsys, monkeypatch):
  monkeypatch.setattr('hashlib.file_digest', lambda *a: 1 / 0)  # by size and time alone
  builder = opened(source).up_to_date()
  assert builder.data_dir == first[1].data_dir
  assert capsys.readouterr().err == ''


def test_the_same_content_with_other_times_keeps_its_data(source, first):
  path = source / 'sub-A/anat/sub-A_T1w.nii'
  os.utime(path, ns=(1, 1))
  assert opened(source).up_to_date().data_dir == first[1].data_dir
  recorded = sources.read(first[1].data_dir)  # brought up to date: not read again
  times = [f['mtime_ns'] for scan in recorded for f in scan['files']]
  assert times.count(1) == 1


def test_splits_that_changed_are_prepared_beside_the_old(
  source, first, capsys, monkeypatch
):
  before = volumes(first[1])
  write_table(source, SUBJECTS | {'sub-B': 'test'})
  monkeypatch.setattr(parts, '_prepare', lambda *a: 1 / 0)  # no scan is prepared again
  builder = prepared(source)
  sentence = capsys.readouterr().err
  assert 'split of sub-B train -> test; it is prepared anew' in sentence
  assert [line.count('changed') for line in sentence.splitlines()] == [1, 0]
  after = volumes(builder)
  assert after == before | {'sub-B': ('test', before['sub-B'][1])}
  assert volumes(first[1]) == before
  assert builder.digest() != first[1].digest()
  old = [r for r in records(first[1], 'train') if r['subject'] == b'sub-B']
  new = [r for r in records(builder, 'test') if r['subject'] == b'sub-B']
  assert len(old) == len(new) > 3
  for a, b in zip(old, new, strict=True):
    assert a.keys() == b.keys()
    for name in a:
      np.testing.assert_array_equal(a[name], b[name], name)
  assert opened(source).up_to_date().data_dir == builder.data_dir
  assert capsys.readouterr().err == ''  # told once
  write_table(source, SUBJECTS)
  assert opened(source).up_to_date().data_dir == first[1].data_dir


def test_only_new_and_replaced_scans_are_prepared(source, first, capsys, monkeypatch):
  add(source, 'sub-E', 11)
  add(source, 'sub-A', 12)
  shutil.rmtree(source / 'sub-C')
  write_table(source, SUBJECTS | {'sub-E': 'val'})
  made, real = [], parts._prepare
  monkeypatch.setattr(
    parts, '_prepare', lambda entry, *a: made.append(entry.subject) or real(entry, *a)
  )
  builder = prepared(source)
  sentence = capsys.readouterr().err
  phrases = '1 subject added (sub-E), 1 subject deleted (sub-C), files of sub-A'
  assert phrases in sentence
  assert made == ['sub-A', 'sub-E']
  before, after = volumes(first[1]), volumes(builder)
  assert set(after) == {'sub-A', 'sub-B', 'sub-D', 'sub-E'}
  same = {name for name in after if after[name] == before.get(name)}
  assert same == {'sub-B', 'sub-D'}
  # Oracle: the same source prepared without the earlier version.
  fresh = nifti_folder.open_builder(source, source.parent / 'fresh', **OPTIONS)
  fresh.download_and_prepare()
  assert fresh.digest() == builder.digest()
  names = ('manifest.json', sources.NAME)
  for name in names:
    texts = [pathlib.Path(b.data_dir, name).read_text() for b in (fresh, builder)]
    assert texts[0] == texts[1]


def test_a_run_keeps_the_data_that_it_began_with(source, first, capsys):
  write_table(source, SUBJECTS | {'sub-B': 'test'})
  kept = f'sim_brain/demo/1.1.0 + {first[1].info.full_name}'
  builder = opened(source).up_to_date(kept)
  assert builder.data_dir == first[1].data_dir
  assert 'changed since this run began: split of sub-B' in capsys.readouterr().err


def test_without_the_source_what_is_prepared_is_used(source, first, capsys):
  away = source.with_name('away')
  source.rename(away)
  try:
    assert opened(source).up_to_date().data_dir == first[1].data_dir
    assert 'heads is not there; the data prepared from it' in capsys.readouterr().err
    source.mkdir()  # an empty mount point
    assert opened(source).up_to_date().data_dir == first[1].data_dir
    source.rmdir()
  finally:
    away.rename(source)


def test_a_table_that_is_wrong_now_is_refused_by_all_but_old_runs(
  source, first, capsys
):
  write_table(source, SUBJECTS | {'sub-B': ''})
  with pytest.raises(BadScan, match='sub-B_T1w.nii has no split in the table'):
    opened(source).up_to_date()
  capsys.readouterr()
  builder = opened(source).up_to_date(first[1].info.full_name)
  assert builder.data_dir == first[1].data_dir
  assert 'has a fault now: ' in capsys.readouterr().err


def test_data_from_before_the_record_are_taken_if_subjects_and_splits_agree(
  source, first, capsys
):
  record = pathlib.Path(first[1].data_dir, sources.NAME)
  text, scans = record.read_text(), sources.read(record.parent)
  record.unlink()
  assert opened(source).up_to_date().data_dir == first[1].data_dir
  assert capsys.readouterr().err == ''
  assert sources.digest(sources.read(record.parent)) == sources.digest(scans)
  record.unlink()
  write_table(source, SUBJECTS | {'sub-D': 'val'})
  assert opened(source).up_to_date().data_dir != first[1].data_dir
  assert 'split of sub-D test -> val' in capsys.readouterr().err
  record.write_text(text)


def test_scans_that_were_left_out_are_no_change(first):
  _, builder = first
  now = sources.read(builder.data_dir)
  (version,) = versions.prepared(
    pathlib.Path(builder.data_dir).parents[1], builder.builder_config.name, '1.0.0'
  )
  old = version._replace(scans=None, skipped=1, volumes=version.volumes[:-1])
  assert old.differences(now) == []
  assert len(old._replace(skipped=0).differences(now)) == 1


def test_a_file_that_changes_during_the_build_ends_it(source, monkeypatch):
  write_table(source, SUBJECTS | {'sub-A': 'val'})
  path, real = source / 'sub-D/anat/sub-D_T1w.nii', parts.make
  monkeypatch.setattr(parts, 'make', lambda *a, **k: os.utime(path) or real(*a, **k))
  with pytest.raises(BadScan, match='sub-D_T1w.nii was changed while the data set was'):
    prepared(source)
  builder = opened(source).up_to_date()
  assert not pathlib.Path(builder.data_dir).exists()


def scan(subject, session='', files=('a',), **facts):
  told = dict.fromkeys(sources.FACTS + sources.READING, '')
  content = [{'kind': 'image', 'path': f'x/{f}', 'sha256': f} for f in files]
  return {'subject': subject, 'session': session, 'files': content} | told | facts


def test_changes_are_told_in_words():
  old = [scan('1', 'a'), scan('2', split='train', age=None), scan('3', age=3.0)]
  new = [scan('1', 'b'), scan('2', split='val', age=41.0), scan('3', age=3.0)]
  assert sources.changes(old, old) == []
  assert sources.changes(old, new) == [
    '1 session added (b of 1)',
    '1 session deleted (a of 1)',
    'split of 2 train -> val',
    'age of 2 unknown -> 41.0',
  ]
  many = [scan(str(n)) for n in range(9)]
  assert sources.changes([], many) == ['9 subjects added (0, 1, 2, ..)']
  other = [scan(str(n), files=('b',), domain='x') for n in range(9)]
  assert sources.changes(many, other) == [
    'files of 0, 1, 2, .. replaced',
    *(f'domain of {n} unknown -> x' for n in range(3)),
    'domain of 6 more',
  ]


def test_the_record_is_json_and_its_digest_needs_no_times(first):
  source, builder = first
  scans = sources.read(builder.data_dir)
  assert json.loads(json.dumps(scans, allow_nan=False)) == scans
  assert {f['kind'] for s in scans for f in s['files']} == {'image', 'labels'}
  moved = json.loads(json.dumps(scans).replace('"mtime_ns": ', '"mtime_ns": 1'))
  assert moved != scans and sources.digest(moved) == sources.digest(scans)
