"""Building whole cohorts: interrupted, by Beam, downloaded, and their split lists."""

import functools
import hashlib
import http.server
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time

import numpy as np
import pytest

from tests.datasets import healthy_trees, lesion_trees, tree_files
from uad_jax import prepare
from uad_jax.data import manifest
from uad_jax.data.cohorts import cohort, download, parts, splits
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.datasets import catalogue

OPTIONS = [
  '--preset=heer2021',
  '--shape',
  '40',
  '48',
  '--spacing=8',
  '--contrast=flair',
]


@pytest.fixture(scope='module')
def source(tmp_path_factory):
  root = tmp_path_factory.mktemp('mslub')
  lesion_trees.mslub(root)
  return root


def arguments(source, data, *more):
  places = [f'--source={source}', f'--data_dir={data}']
  return ['build', 'mslub', *places, *OPTIONS, *more]


def content(data):
  """Name to bytes of every file of the prepared data set, except HTML pages."""
  (ready,) = catalogue.prepared(data, 'mslub')
  files = [p for p in sorted(ready.folder.rglob('*')) if p.is_file()]
  return {p.name: p.read_bytes() for p in files if p.suffix != '.html'}


@pytest.fixture(scope='module')
def whole(source, tmp_path_factory):
  data = tmp_path_factory.mktemp('whole')
  assert prepare.main(arguments(source, data, '--workers=1')) == 0
  return content(data)


def test_nothing_is_left_but_the_data_set(source, tmp_path, whole):
  assert prepare.main(arguments(source, tmp_path, '--workers=2')) == 0
  assert content(tmp_path) == whole
  assert not [p for p in tmp_path.glob('.parts/*')]


def test_a_killed_build_goes_on_and_ends_with_the_same_bytes(source, tmp_path, whole):
  command = [sys.executable, '-m', 'uad_jax.prepare']
  command += arguments(source, tmp_path, '--workers=1')
  with (tmp_path / 'log').open('w') as log:
    process = subprocess.Popen(command, stdout=log, stderr=log)
  stored, deadline = [], time.monotonic() + 120
  while not stored and process.poll() is None and time.monotonic() < deadline:
    time.sleep(0.005)
    stored = list(tmp_path.glob('.parts/*/*.npz'))
  os.kill(process.pid, signal.SIGKILL)
  process.wait()
  assert stored and process.returncode < 0, (tmp_path / 'log').read_text()
  assert not catalogue.prepared(tmp_path)
  assert prepare.main(arguments(source, tmp_path, '--workers=1')) == 0
  assert content(tmp_path) == whole
  assert not list(tmp_path.rglob('incomplete.*'))


def test_a_part_is_used_again_and_only_for_the_same(source, tmp_path, monkeypatch):
  entries, _ = cohort.find(source, catalogue.cohort('mslub'), 'flair')
  steps = (('check', {}), ('reorient', {}))
  path = parts.make(entries[0], steps, {}, str(tmp_path))
  stored = parts.read(path)
  monkeypatch.setattr(parts, '_prepare', lambda *a: 1 / 0)
  assert parts.make(entries[0], steps, {}, str(tmp_path)) == path
  for entry, other in (
    (entries[1], steps),
    (entries[0], steps[:1]),
    (entries[0]._replace(lesion_values=(2,)), steps),
  ):
    # Any error becomes a problem of this scan, so that the others can be built.
    problem = parts.make(entry, other, {}, str(tmp_path))
    assert f'{entry.image} cannot be prepared: ZeroDivisionError' in str(problem)
  gone = entries[0]._replace(image=f'{tmp_path}/gone.nii')
  assert 'gone.nii or what belongs to it cannot be' in str(
    parts.make(gone, steps, {}, str(tmp_path))
  )
  assert stored.lesion.sum() == tree_files.brain()[2].sum()
  assert stored.twin is None  # the lesion-free twin is unknown
  assert list(tmp_path.iterdir()) == [pathlib.Path(path)]


def test_beam_gives_the_same(source, tmp_path, whole):
  pytest.importorskip('apache_beam')
  assert prepare.main(arguments(source, tmp_path, '--beam')) == 0
  (ready,) = catalogue.prepared(tmp_path, 'mslub')
  import tensorflow_datasets as tfds

  builder = tfds.builder_from_directory(str(ready.folder))
  assert manifest.read(str(ready.folder))['digest'] in whole[manifest.NAME].decode()
  number = sum(len(v['slices']) for v in manifest.read(str(ready.folder))['volumes'])
  assert sum(s.num_examples for s in builder.info.splits.values()) == number
  for split in builder.info.splits:
    places = [
      (r['subject'], int(r['slice'])) for r in builder.as_data_source(split=split)
    ]
    assert places == sorted(places)


def test_the_split_list(source, tmp_path, capsys):
  output = tmp_path / 'splits.txt'
  command = ['splits', 'mslub', f'--source={source}', f'--output={output}']
  assert prepare.main(command) == 0
  assert 'test: 1 subjects' in capsys.readouterr().out
  listed = splits.read(output)
  assert sorted(listed) == ['patient01', 'patient02', 'patient03']
  assert sorted(listed.values()) == sorted(splits.LESIONS)
  output.write_text('a train\na test\n')
  with pytest.raises(BadScan, match="has a in the splits 'train' and 'test'"):
    splits.read(output)
  output.write_text('# list\na\n')
  with pytest.raises(BadScan, match="'a' in line 2; allowed are a subject and a split"):
    splits.read(output)


@pytest.mark.parametrize('count', [0, 1, 2, 3, 7, 30, 101])
def test_dealing_is_exact_and_stable(count):
  subjects = [f'subject{n}' for n in range(count)]
  dealt = splits.deal(subjects, splits.HEALTHY)
  assert set(dealt) == set(subjects)
  sizes = {s: list(dealt.values()).count(s) for s in splits.HEALTHY}
  for split, part in splits.HEALTHY.items():
    assert abs(sizes[split] - part * count) <= (1 if count > 9 else 2)
    assert sizes[split] > 0 or count < 3
  assert splits.deal(reversed(subjects), splits.HEALTHY) == dealt


class Handler(http.server.SimpleHTTPRequestHandler):
  """Serves the files of a folder, also from a byte position on, without a log."""

  def log_message(self, *args):
    pass

  def do_GET(self):
    path = pathlib.Path(self.translate_path(self.path))
    if not path.is_file():
      return self.send_error(404)
    body, asked = path.read_bytes(), self.headers.get('Range')
    start = int(asked.removeprefix('bytes=').rstrip('-')) if asked else 0
    if asked and start >= len(body):
      return self.send_error(416)
    self.send_response(206 if asked else 200)
    self.send_header('Content-Length', str(len(body) - start))
    self.end_headers()
    self.wfile.write(body[start:])


@pytest.fixture
def served(tmp_path):
  """Folder and address of a server."""
  folder = tmp_path / 'served'
  folder.mkdir()
  handler = functools.partial(Handler, directory=str(folder))
  server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
  threading.Thread(target=server.serve_forever, daemon=True).start()
  yield folder, f'http://127.0.0.1:{server.server_port}'
  server.shutdown()
  server.server_close()


def test_an_archive_is_fetched_checked_and_unpacked(served, tmp_path):
  folder, address = served
  healthy_trees.ixi(tmp_path / 'ixi')
  with tarfile.open(folder / 'IXI-T1.tar', 'w') as file:
    for path in sorted((tmp_path / 'ixi/IXI-T1').iterdir()):
      file.add(path, path.name)
  md5 = hashlib.md5((folder / 'IXI-T1.tar').read_bytes()).hexdigest()
  archive = download.Download(f'{address}/IXI-T1.tar', md5)
  table = catalogue.cohort('ixi')._replace(downloads={'t1': archive})
  data = tmp_path / 'data'

  bad = table._replace(downloads={'t1': archive._replace(md5='0' * 32)})
  with pytest.raises(BadScan, match=f'has the MD5 {md5}, and 0000'):
    download.fetch(bad, 't1', data)
  with pytest.raises(OSError, match='cannot be fetched'):
    gone = archive._replace(url=f'{address}/gone.tar')
    download.fetch(table._replace(downloads={'t1': gone}), 't1', data)
  with pytest.raises(ValueError, match='prepare list mslub` tells'):
    download.fetch(catalogue.cohort('mslub'), 'flair', data)

  # An earlier try was interrupted in the middle.
  target = download.folder(data, 'ixi')
  target.mkdir(parents=True, exist_ok=True)
  whole = (folder / 'IXI-T1.tar').read_bytes()
  (target / 'IXI-T1.tar.partial').write_bytes(whole[:5000])
  assert download.fetch(table, 't1', data) == target
  entries, _ = cohort.find(target, table, 't1')
  assert [e.subject for e in entries] == ['IXI002', 'IXI012', 'IXI035', 'IXI049']
  (folder / 'IXI-T1.tar').unlink()
  assert download.fetch(table, 't1', data) == target  # not downloaded again
  assert [p.name for p in target.iterdir()] == ['IXI-T1']


def test_listing(tmp_path, capsys, source):
  assert prepare.main(['list', f'--data_dir={tmp_path}']) == 0
  output = capsys.readouterr().out
  assert all(table.name in output for table in catalogue.cohorts())
  assert 'nothing is prepared here' in output
  assert prepare.main(arguments(source, tmp_path, '--workers=1')) == 0
  capsys.readouterr()
  assert prepare.main(['list', f'--data_dir={tmp_path}']) == 0
  assert 'mslub/flair-slices-heer2021-40x48-' in capsys.readouterr().out
  assert prepare.main(['list', 'brats']) == 0
  assert 'BraTS20_Training_001_t1.nii' in capsys.readouterr().out
  assert prepare.main(['build', 'mslub']) == 1
  assert 'give the folder by --source' in capsys.readouterr().err
  assert prepare.main(['build', 'mslub', '--download']) == 1
  assert 'cannot be fetched by a program' in capsys.readouterr().err


def test_a_page_of_all_cohorts(tmp_path, capsys):
  assert prepare.main(['table', f'--output={tmp_path}/datasets.md']) == 0
  page = (tmp_path / 'datasets.md').read_text()
  for table in catalogue.cohorts():
    assert f'[`{table.name}`]({table.homepage})' in page
  widths = {line.count('|') for line in page.splitlines() if line.startswith('| [`')}
  assert len(widths) == 1
  assert np.all([f'`{name}`' in page for name in ('baur2021', 'heer2021', 'you2019')])


def test_the_page_of_the_data_sets_is_the_rendered_one(tmp_path):
  docs = pathlib.Path(__file__).parents[2] / 'docs'
  shutil.copytree(docs, tmp_path / 'docs')
  assert prepare.main(['table', f'--output={tmp_path}/docs/datasets.md']) == 0
  rendered = (tmp_path / 'docs' / 'datasets.md').read_text()
  assert rendered == (docs / 'datasets.md').read_text()
