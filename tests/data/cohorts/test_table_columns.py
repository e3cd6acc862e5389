"""Headers of participants.tsv that were converted by half, or nearly name a column."""

import pathlib

import pytest

from uad_jax.data.cohorts import participants, table_columns
from uad_jax.data.preprocessing.nifti import BadScan

PATH = pathlib.Path('participants.tsv')


@pytest.mark.parametrize(
  'column, own',
  [
    ('age,split', 'age'),
    ('age, weight', 'age'),
    ('sex;split', 'sex'),
    ('height;Sex', 'sex'),
    ('age split', 'age'),
    ('data split', 'split'),
    ('age|split', 'age'),
    ('session_id,visit', 'session_id'),
  ],
)
def test_several_columns_in_one_name(column, own):
  with pytest.raises(BadScan) as caught:
    table_columns.columns(['participant_id', column], PATH)
  assert str(caught.value) == (
    f"participants.tsv has a column '{column}'; allowed are tabs between columns, and "
    f"'{own}' as a column of its own"
  )


@pytest.mark.parametrize(
  'column', ['splits', 'Splits', 'spilt', 'data_split', 'split1']
)
def test_nearly_split(column):
  with pytest.raises(BadScan, match=f"has a column '{column}', which is not read"):
    table_columns.columns(['participant_id', column], PATH)


def test_split_twice():
  with pytest.raises(BadScan, match="has the columns 'split', 'Split'; allowed is one"):
    table_columns.columns(['participant_id', 'split', 'Split'], PATH)
  with pytest.raises(BadScan, match="has a column 'splits', which is not read"):
    table_columns.columns(['participant_id', 'split', 'splits'], PATH)


def test_other_columns_stay_allowed():
  header = ['participant_id', 'age at scan', 'Age', 'age', 'a,b', 'spirit', 'slice']
  header += ['split', 'split_old', 'filename']
  found = {'participant_id': 0, 'age': 3, 'split': 7}
  assert table_columns.columns(header, PATH) == found
  assert table_columns.columns(header, PATH, files=True) == found | {'filename': 9}


@pytest.mark.parametrize(
  'written, read',
  [
    ('Train', 'train'),
    ('VAL', 'val'),
    ('training', 'train'),
    ('Validation', 'val'),
    ('testing', 'test'),
    ('Few_Shot', 'few_shot'),
    ('VAL_lesion', 'val_lesion'),
    ('Hospital-B', 'Hospital-B'),
  ],
)
def test_names_of_splits(tmp_path, written, read):
  path = tmp_path / 'participants.tsv'
  path.write_text(f'participant_id\tsplit\nA\t{written}\n')
  assert participants.read_table(path) == {('sub-A', ''): {'split': read}}
