"""The held-out heads: their splits, and no lesion in the validation."""

import csv

import pytest

from benchmarks import held_out_heads


def lesion_folder(place, count):
  rows = []
  for i in range(count):
    subject = f'sub-{i:02d}'
    for session in ('', 'ses-lesion'):
      (place / subject / session / 'anat').mkdir(parents=True)
      rows.append({'participant_id': subject, 'session_id': session, 'split': 'train'})
  (place / 'derivatives').mkdir()
  (place / 'dataset_description.json').write_text('{}')
  with open(place / 'participants.tsv', 'w') as file:
    table = csv.DictWriter(file, rows[0], delimiter='\t')
    table.writeheader()
    table.writerows(rows)
  return place


def test_validation_heads_are_healthy_and_test_heads_have_both_scans(tmp_path):
  source = lesion_folder(tmp_path / 'source', 35)
  held_out_heads.link(source, tmp_path / 'out')
  with open(tmp_path / 'out' / 'participants.tsv') as file:
    rows = list(csv.DictReader(file, delimiter='\t'))
  assert [row['split'] for row in rows] == ['val'] * 8 + ['test'] * 48
  assert not any(row['session_id'] for row in rows[:8])
  assert len({row['participant_id'] for row in rows}) == 32
  folders = {p.name: sorted(x.name for x in p.iterdir()) for p in sub_folders(tmp_path)}
  assert folders['sub-07'] == ['anat'] and folders['sub-08'] == ['anat', 'ses-lesion']
  assert 'sub-32' not in folders


def sub_folders(tmp_path):
  return sorted((tmp_path / 'out').glob('sub-*'))


def test_too_few_subjects_are_refused_and_nothing_is_written(tmp_path):
  source = lesion_folder(tmp_path / 'source', 31)
  with pytest.raises(ValueError, match='has 31 subjects; needed are 32'):
    held_out_heads.link(source, tmp_path / 'out')
  assert not (tmp_path / 'out').exists()
