"""participants.tsv of flat folders, whose subjects are named after the files."""

import pytest

from tests.data.cohorts.folders import touch
from uad_jax.data.cohorts import layout, splits
from uad_jax.data.preprocessing.nifti import BadScan


def found(root, table, *files, **patterns):
  touch(root, *files)
  (root / 'participants.tsv').write_text(table)
  entries = layout.find(root, layout.flat('**/*.nii*', **patterns))
  return {entry.subject: (entry.split, entry.age) for entry in entries}


@pytest.mark.parametrize(
  'table',
  [
    'participant_id\tsplit\tage\nIXI057\ttrain\t30\nsub-IXI015\tval\t40\n',
    'filename\tsplit\tage\nx/IXI057_T1.nii\ttrain\t30\nIXI015\tval\t40\n',
    'participant_id\timage\tsplit\tage\n'
    '7\tIXI057_T1.nii\ttrain\t30\n8\tx/IXI015\tval\t40\n',
    'participant_id\tFilename\tsplit\tage\n'
    '7\tIXI057_T1\ttrain\t30\nIXI015\tn/a\tval\t40\n',
  ],
)
def test_the_table_names_splits(tmp_path, table):
  entries = found(tmp_path, table, 'x/IXI057_T1.nii', 'x/IXI015.nii.gz')
  assert entries == {'IXI057': ('train', 30), 'IXI015': ('val', 40)}


def test_whole_names_and_expressions(tmp_path):
  files = ['siteA_0.nii', 'siteA_1.nii']
  table = 'participant_id\tsplit\tage\nsiteA_0\ttrain\t1\nsub-siteA_1\ttest\t2\n'
  both = {'siteA_0': ('train', 1), 'siteA_1': ('test', 2)}
  assert found(tmp_path, table, *files) == both
  table = 'filename\tsplit\tage\nsiteA_0.nii\ttrain\t1\nsiteA_1.nii\ttest\t2\n'
  named = found(tmp_path, table, *files, subject=r'_(\d)\.')
  assert named == {'0': ('train', 1), '1': ('test', 2)}


def test_tables_of_other_subjects_are_refused(tmp_path):
  with pytest.raises(BadScan, match='names no subject of the folder: it names sub-P3'):
    found(tmp_path, 'participant_id\tsplit\nP3\ttrain\n', 'P1.nii', 'P2.nii')
  with pytest.raises(
    BadScan, match=r'names no subject .* sub-P3.nii, the folder has P1'
  ):
    found(tmp_path, 'image\tsplit\nP3.nii\ttrain\n')
  table = 'participant_id\timage\tsplit\nA\tP1.nii\ttrain\nA\tP2.nii\ttest\n'
  with pytest.raises(BadScan, match="has sub-A in the splits 'train' and 'test'"):
    found(tmp_path, table)


def test_a_name_of_two_files_names_none(tmp_path):
  table = 'image\tsplit\nT1.nii\ttrain\nB/T1.nii\ttest\n'
  entries = found(tmp_path, table, 'A/T1.nii', 'B/T1.nii')
  assert [split for split, _ in entries.values()] == ['', 'test']


FRACTIONS = {'train': 0.5, 'test': 0.5}
VISITS = [f'P{person}_v{visit}.nii' for person in range(12) for visit in (1, 2)]


def splits_of_people(root, table):
  """Splits of the visits of each person, dealt by hashes."""
  touch(root, *VISITS)
  if table:
    (root / 'participants.tsv').write_text(table)
  dealt = splits.assign(layout.find(root, layout.flat()), FRACTIONS)
  assert len(dealt) == len(VISITS)
  people = {}
  for entry in dealt:
    people.setdefault(entry.subject.split('_')[0], []).append(entry.split)
  return people, {e.subject: e for e in dealt}


def test_files_of_one_participant_share_a_split(tmp_path):
  rows = [f'{name.split("_")[0][1:]}\t{name}\t70' for name in VISITS]
  table = '\n'.join(['participant_id\tfilename\tage', *rows])
  people, entries = splits_of_people(tmp_path, table)
  assert all(first == second for first, second in people.values())
  # Oracle: the hash of the first visit, as if it were the only one.
  for name, (first, _) in people.items():
    assert first == splits.hashed_split(f'{name}_v1', FRACTIONS)
  assert len({first for first, _ in people.values()}) == 2
  assert {entry.age for entry in entries.values()} == {70}


def test_a_participant_is_known_by_the_start_of_the_file_names(tmp_path, capsys):
  rows = [f'P{person}\t{40 + person}' for person in range(12)]
  table = '\n'.join(['participant_id\tage', *rows])
  people, entries = splits_of_people(tmp_path, table)
  assert all(first == second for first, second in people.values())
  assert entries['P1_v2'].age == 41 and entries['P11_v1'].age == 51
  assert 'lacks subjects' not in capsys.readouterr().err


def test_without_a_table_every_file_is_a_subject(tmp_path):
  _, entries = splits_of_people(tmp_path, '')
  for name, entry in entries.items():
    assert entry.split == splits.hashed_split(name, FRACTIONS)


def test_the_split_of_a_participant_is_that_of_its_files(tmp_path):
  table = 'participant_id\tsplit\nP1\ttrain\nP2\ttest\n'
  entries = found(tmp_path, table, 'P1_v1.nii', 'P1_v2.nii', 'P2.nii')
  assert {name: split for name, (split, _) in entries.items()} == {
    'P1_v1': 'train', 'P1_v2': 'train', 'P2': 'test'
  }  # fmt: skip
