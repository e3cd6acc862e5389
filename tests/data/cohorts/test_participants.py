"""participants.tsv as people have it: other line ends, separators, spellings."""

import math

import pytest

from uad_jax.data.cohorts import layout, participants, people, splits
from uad_jax.data.preprocessing.nifti import BadScan

PLAIN = 'participant_id\tage\tsplit\nsub-A\t30\ttrain\nsub-B\t41.5\ttest\n'
SPLITS = {'sub-A': 'train', 'sub-B': 'test'}


@pytest.fixture
def folder(tmp_path):
  """A BIDS folder with two subjects, and a function that writes its table."""

  def with_table(table, name='participants.tsv'):
    for subject in SPLITS:
      anat = tmp_path / subject / 'anat'
      anat.mkdir(parents=True, exist_ok=True)
      (anat / f'{subject}_T1w.nii').write_bytes(b'x')
    content = table if isinstance(table, bytes) else table.encode()
    (tmp_path / name).write_bytes(content)
    return tmp_path

  return with_table


def entries_of(folder):
  return splits.assign(layout.find(folder, layout.bids()), {'train': 1.0})


@pytest.mark.parametrize(
  'table',
  [
    PLAIN,
    PLAIN.replace('\n', '\r\n'),
    PLAIN.replace('\n', '\r'),
    '\ufeff' + PLAIN,
    '\ufeff' + PLAIN.replace('participant_id', '"participant_id"'),
    PLAIN.encode('utf-16'),
    PLAIN.replace('sub-', ''),
    PLAIN.replace('sub-A', ' sub-A ').replace('test', 'test  '),
    PLAIN.replace('sub-A\t', 'sub-A\xa0\t'),
    PLAIN.replace('participant_id', ' Participant_ID').replace('split', 'Split'),
    PLAIN.replace('sub-A', '"sub-A"').replace('split', '"split"'),
    '\n' + PLAIN + '\t\t\n\n',
    PLAIN + 'sub-A\t30\ttrain\n' + 'sub-B\tn/a\ttest\n',
    PLAIN.replace('\tage', '\tsession_id\tage').replace('\t30', '\tn/a\t30').replace(
      '\t41.5', '\t\t41.5'
    ),
    PLAIN + '\tn/a\t\nsub-C\t\tval\n',
    PLAIN.replace('train', 'Training').replace('test\n', 'TEST\n'),
    PLAIN.replace('train', 'TRAIN').replace('test\n', 'testing\n'),
    PLAIN.replace('age\tsplit', 'age\tsplit\tsplit_2\tage at scan'),
  ],
)  # fmt: skip
def test_tables_that_say_the_same(folder, table):
  entries = entries_of(folder(table))
  assert {e.subject: e.split for e in entries} == SPLITS
  assert [e.age for e in entries] == [30, 41.5]


def test_a_missing_value_is_missing_in_every_column(folder):
  names = ('participant_id', 'age', 'split', 'sex', 'site', 'pathology', 'domain')
  table = '\t'.join(names) + '\n'
  for subject, missing in (('A', 'n/a'), ('B', 'N/A')):
    table += '\t'.join([subject, *[missing] * 6]) + '\n'
  for entry in layout.find(folder(table), layout.bids()):
    assert (entry.split, entry.pathology, entry.domain) == ('', 'none', '')
    assert math.isnan(entry.age) and entry.people == {}
  table = 'participant_id\tpathology\nA\tNone\nB\tms\n'
  found = layout.find(folder(table), layout.bids())
  assert [e.pathology for e in found] == ['none', 'ms']


def test_subjects_without_a_split_among_others_are_named(folder):
  with pytest.raises(BadScan, match=r'1 of 2 scans have none: sub-B'):
    entries_of(folder(PLAIN.replace('test', 'n/a')))


@pytest.mark.parametrize(
  'table, says',
  [
    ('', 'participants.tsv is empty; allowed is a table separated by tabs'),
    (b'\xff\xfe', 'participants.tsv is empty'),
    (' \n\t\n', 'participants.tsv is empty'),
    ('participant_id\tage\n', 'names no subject; allowed is a row a subject'),
    (PLAIN.replace('\t', ','), r'is separated by commas; allowed are tabs \(BIDS\)'),
    (PLAIN.replace('\t', ';'), 'is separated by semicolons; allowed are tabs'),
    (PLAIN.replace('\t', '  '), 'is separated by spaces; allowed are tabs'),
    (PLAIN.replace('participant_id', 'ID'), "lacks the column 'participant_id'.* ID"),
    (PLAIN.replace('age', 'split'), "has 2 columns 'split'"),
    (PLAIN + 'sub-A\t31\ttrain\n', "rows of sub-A with age '30' and '31'"),
    (PLAIN + 'A\t30\ttest\n', "has sub-A in the splits 'train' and 'test'"),
    (PLAIN.replace('train', 'all'), "has sub-A in the split 'all'; allowed"),
    (PLAIN.replace('train', 'a/b'), "has sub-A in the split 'a/b'; allowed"),
    (PLAIN + '\t3\ttest\n', 'has a split and no participant_id in line 4'),
    (PLAIN + 'sub-C\t3\ttest\t5\n', 'has 4 cells in line 4 and 3 columns'),
    (
      PLAIN.replace('sub-B', '"sub-B'),
      r'has a quotation mark \("\) without its second',
    ),
    (PLAIN.replace('30', '3ü').encode('latin-1'), 'is no UTF-8 text in line 2'),
    (PLAIN.replace('30', '3\0'), 'holds zero bytes'),
    (PLAIN.replace('30', '3' * 200_000), 'is no table, line 2: field larger'),
    (
      'participant_id\nsub-1\nsub-2\nsub-3\nsub-4\n',
      'names no subject of the folder: it names sub-1, sub-2, sub-3 and 1 more, the '
      'folder has sub-A, sub-B',
    ),
  ],
)
def test_tables_that_are_refused(folder, table, says):
  if '"sub-B' in str(table):
    table += 'sub-C\t3\ttest\n'
  with pytest.raises(BadScan, match=says) as caught:
    entries_of(folder(table))
  assert '\n' not in str(caught.value) and 'participants.tsv' in str(caught.value)


def test_subjects_that_only_one_side_has_are_told(folder, capsys):
  root = folder('participant_id\tage\nA\t30\nC\t4\nD\t5\n')
  entries_of(root)
  lines = capsys.readouterr().err.splitlines()
  assert lines == [
    f'{root}: 2 subjects, 2 scans',
    f'{root}: {root}/participants.tsv names subjects without a scan: sub-C, sub-D',
    f'{root}: {root}/participants.tsv lacks subjects that have scans: sub-B',
  ]


def test_a_table_under_another_name_is_not_ignored(folder, capsys):
  root = folder('participant_id,age\nsub-A,30\n', 'participants.csv')
  entries_of(root)
  assert 'participants.csv is not read; allowed is participants.tsv' in (
    capsys.readouterr().err
  )
  folder('Participant_id\tSplit\nsub-A\ttest\n', 'Participants.TSV')
  with pytest.raises(BadScan, match='Participants.TSV names splits and is not read'):
    entries_of(root)
  folder(PLAIN)
  assert {e.subject: e.split for e in entries_of(root)} == SPLITS


def test_a_table_that_is_a_link_to_nothing(folder):
  root = folder(PLAIN)
  (root / 'participants.tsv').unlink()
  (root / 'participants.tsv').symlink_to('gone.tsv')
  with pytest.raises(BadScan, match='participants.tsv cannot be read: No such file'):
    entries_of(root)


def test_sessions_with_and_without_their_prefix(tmp_path):
  for session in ('ses-1', 'ses-2'):
    anat = tmp_path / 'sub-A' / session / 'anat'
    anat.mkdir(parents=True)
    (anat / f'sub-A_{session}_T1w.nii').write_bytes(b'x')
  (tmp_path / 'participants.tsv').write_text(
    'participant_id\tsession_id\tage\tsex\nA\t1\t30\t\nA\tses-2\t32\t\nA\t\t\tF\n'
  )
  entries = layout.find(tmp_path, layout.bids())
  assert [e.age for e in entries] == [30, 32]
  assert [e.people for e in entries] == [{'sex': 'F'}] * 2
  # The only row of a subject is also that of a scan without a session.
  table = participants.read_table(tmp_path / 'participants.tsv')
  alone = {('sub-A', 'ses-1'): table['sub-A', 'ses-1']}
  scan = entries[0]._replace(session='')
  assert participants.row_of(alone, scan) == {'age': '30'}


@pytest.mark.parametrize(
  'text, age',
  [
    ('33.5', 33.5),
    ('1e1', 10),
    ('89+', 89),
    ('>89', 89),
    ('90 or older', 90),
    ('30Y', 30),
    ('030Y', 30),
    ('30 years', 30),
    ('018M', 1.5),
    ('20-25', 22.5),
    ('34,5', 34.5),
    ('0', 0),
    ('999', None),
    ('-1', None),
    ('inf', None),
    ('1e400', None),
    ('n/a', None),
    ('unknown', None),
    ('', None),
    (None, None),
  ],
)
def test_ages(text, age):
  assert people.years(text) == age or (age is None and math.isnan(people.years(text)))


@pytest.mark.parametrize('separator', [',', ';', '\t'])
def test_csv_tables_of_cohorts_may_have_another_separator(tmp_path, separator):
  lines = [['\ufeffID', 'Age'], [' 7 ', '30'], ['8', 'n/a']]
  text = '\r\n'.join(separator.join(cells) for cells in lines)
  (tmp_path / '._IXI.csv').write_bytes(b'\0\5\x16\7')
  (tmp_path / 'IXI.csv').write_bytes(text.encode())
  table = people.load(tmp_path, '*.csv')
  assert list(people.column(table, 'ID', 'IXI.csv')) == ['7', '8']
  assert list(people.column(table, 'Age', 'IXI.csv')) == ['30', '']


def test_a_subject_of_a_cohort_table_that_is_none(tmp_path):
  for name in ('IXI_2', 'inf', 'nan', 'IXI 2'):
    (tmp_path / 'IXI.csv').write_text(
      f'ID,Age\n1,30\n"{name.replace(" ", chr(10))} ",2\n'
    )
    read = people.reader('*.csv', 'ID', {}, lambda number: f'{int(float(number))}')
    with pytest.raises(BadScan, match=rf"'\*.csv' names a subject '{name}'; allowed"):
      read(tmp_path)


def test_a_split_list_with_a_byte_order_mark(tmp_path):
  (tmp_path / 'splits.txt').write_bytes('\ufeffa train\nb test\n'.encode())
  assert splits.read(tmp_path / 'splits.txt') == {'a': 'train', 'b': 'test'}
  (tmp_path / 'splits.txt').write_bytes(b'\xfc train\n')
  with pytest.raises(BadScan, match='splits.txt is no UTF-8 text'):
    splits.read(tmp_path / 'splits.txt')


def test_fractions_that_cannot_divide():
  entries = [layout.Entry('a', '', 'a.nii')]
  for fractions in ({'test': 0.0}, {'a': 1.0, 'b': -1.0}, {}):
    with pytest.raises(BadScan, match='fractions of the splits are'):
      splits.assign(entries, fractions)
