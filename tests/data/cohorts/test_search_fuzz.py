"""Random tables of subjects and folder trees: read, or refused in one sentence."""

import os
import pathlib
import tempfile

import pytest
from hypothesis import HealthCheck, configuration, given, settings
from hypothesis import strategies as st

from uad_jax.data.cohorts import layout, people, splits
from uad_jax.data.preprocessing.nifti import BadScan

configuration.set_hypothesis_home_dir(os.path.join(tempfile.gettempdir(), 'hypothesis'))
common = settings(
  database=None,
  deadline=None,
  derandomize=True,
  suppress_health_check=list(HealthCheck),
)
quick, long = settings(common, max_examples=60), settings(common, max_examples=10_000)

IDS = ('sub-A', 'A', ' sub-B', 'B ', 'sub-C', 'n/a', '', '"', 'sub-', '\ufeff', 'é')
VALUES = (
  *IDS,
  'train',
  'test',
  'all',
  '89+',
  '30Y',
  '-1',
  '1e999',
  '\0',
  '\u2028',
  'ms',
)
HEADERS = ('participant_id', 'session_id', 'age', 'split', 'Split', 'pathology', 'sex')

cells = st.sampled_from(VALUES) | st.text(max_size=6)
separators = st.sampled_from(['\t', '\t', '\t', ',', ';', ' '])
ends = st.sampled_from(['\n', '\r\n', '\r', '\n\n'])
encodings = st.sampled_from(['utf-8', 'utf-8-sig', 'utf-16', 'latin-1'])


@st.composite
def tables(draw):
  """Bytes of a table: almost right, or anything at all."""
  if draw(st.integers(0, 4)) == 0:
    return draw(st.binary(max_size=200))
  separator, end = draw(separators), draw(ends)
  header = ['participant_id', *draw(st.lists(st.sampled_from(HEADERS), max_size=4))]
  rows = draw(st.lists(st.lists(cells, max_size=5), max_size=6))
  text = end.join(separator.join(row) for row in [header, *rows])
  return text.encode(draw(encodings), 'ignore')


parts = st.sampled_from(
  ['sub-A', 'sub-B', 'ses-1', 'anat', 'sub-A_T1w.nii', 'sub-B_T1w.nii.gz', '._x.nii']
  + ['P0_v1.nii', 'P0_v2.nii', 'x.nii', 'x.nii.gz', 'pat.0.nii', 'T1.nii', '.nii', 'm']
  + ['participants.tsv', 'participants.csv', '_.nii', '\udcff.nii', 'é_1.nii', ' .nii']
)
paths = st.lists(parts, min_size=1, max_size=4).map('/'.join)
links = st.tuples(paths, st.sampled_from(['..', '.', '../..', '/', 'gone']) | paths)
patterns = st.sampled_from(
  ['', '*', '**', '**/*', '*.nii*', '*/*', 'sub-*/**/anat/*_T1w.nii*', '/', '../*', '[']
) | st.text('*?/.[]!-sub', max_size=8)
expressions = st.sampled_from(
  ['', r'([^/._]+)[^/]*$', r'(P\d)_', r'(x)?', '(', '*', r'(?:^|/)(sub-\w+)', 'P.']
)


def grow(root, files, joints):
  """Makes files and links as far as they can be."""
  for name in files:
    path = root / name
    try:
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(b'participant_id\tsplit\nsub-A\ttrain\n')
    except OSError:
      continue  # a file is in the place of a folder
  for name, target in joints:
    try:
      (root / name).parent.mkdir(parents=True, exist_ok=True)
      (root / name).symlink_to(target if target[0] in './' else root / target)
    except OSError:
      continue


def refused(function):
  """Calls a function; None if it is refused, in one sentence."""
  try:
    return function()
  except BadScan as error:
    sentence = str(error)
    assert '\n' not in sentence and len(sentence) < 3000
    assert any(word in sentence for word in ('allowed', 'save it', '; it has '))
    return None


def read(table):
  with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    grow(root, [f'sub-{s}/anat/sub-{s}_T1w.nii' for s in 'AB'], [])
    (root / 'participants.tsv').write_bytes(table)
    (root / 'IXI.csv').write_bytes(table)
    entries = refused(lambda: layout.find(root, layout.bids()))
    if entries is not None:
      assert [e.subject for e in entries] == ['sub-A', 'sub-B']
      assert all(not e.age < 0 and not e.age > people.OLDEST for e in entries)
      refused(lambda: splits.assign(entries, splits.HEALTHY))

    def cohort_table(naming):
      reader = people.reader('*.csv', 'participant_id', {'age': 'age'}, naming)
      return reader(root)(layout.Entry('sub-A', '', 'x.nii'))

    refused(lambda: cohort_table(str))
    refused(lambda: cohort_table(lambda name: f'IXI{int(float(name)):03d}'))


def search(files, joints, image, mask, subject, session):
  with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder) / 'top'
    root.mkdir()
    grow(root, files, joints)
    for make in (layout.flat, layout.bids):
      files = make(image, mask=mask, subject=subject, session=session)
      entries = refused(lambda files=files: layout.find(root, files))
      if entries is not None:
        real = [os.path.realpath(e.image) for e in entries if not e.problem]
        assert len(set(real)) == len(real) == len({os.fspath(p) for p in real})
        keys = [(e.subject, e.session) for e in entries]
        assert len(set(keys)) == len(keys)
        refused(lambda entries=entries: splits.assign(entries, splits.HEALTHY))


trees = given(
  st.lists(paths, max_size=6),
  st.lists(links, max_size=3),
  patterns,
  st.just('') | patterns,
  expressions,
  expressions,
)


@pytest.mark.slow
@quick
@given(tables())
def test_any_table(table):
  read(table)


@quick
@trees
def test_any_folder(files, joints, image, mask, subject, session):
  search(files, joints, image, mask, subject, session)


@pytest.mark.slow
@long
@given(tables())
def test_many_tables(table):
  read(table)


@pytest.mark.slow
@long
@trees
def test_many_folders(files, joints, image, mask, subject, session):
  search(files, joints, image, mask, subject, session)
