import pytest

from uad_jax.data.cohorts import layout, splits
from uad_jax.data.cohorts.entry import Entry
from uad_jax.data.preprocessing.nifti import BadScan


def touch(root, *names):
  for name in names:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'x')


def test_bids_with_sessions_and_table(tmp_path):
  touch(
    tmp_path,
    'sub-B/anat/sub-B_T1w.nii',
    'sub-A/ses-2/anat/sub-A_ses-2_T1w.nii.gz',
    'sub-A/ses-1/anat/sub-A_ses-1_T1w.nii.gz',
    'sub-A/ses-1/anat/sub-A_ses-1_FLAIR.nii.gz',
    'derivatives/seg/sub-A/ses-1/anat/sub-A_ses-1_dseg.nii.gz',
    'derivatives/seg/sub-A/ses-2/anat/sub-A_ses-2_dseg.nii.gz',
    'derivatives/seg/sub-B/anat/sub-B_dseg.nii.gz',
  )
  (tmp_path / 'participants.tsv').write_text(
    'participant_id\tage\tsplit\tdomain\nsub-A\t33.5\ttrain\tguys\nsub-B\tn/a\ttest\t\n'
  )
  entries = layout.find(tmp_path, layout.bids(labels='derivatives/*/sub-*/**/*_dseg*'))
  assert [(e.subject, e.session, e.split) for e in entries] == [
    ('sub-A', 'ses-1', 'train'),
    ('sub-A', 'ses-2', 'train'),
    ('sub-B', '', 'test'),
  ]
  assert entries[1].labels.endswith('sub-A_ses-2_dseg.nii.gz')
  assert entries[0].age == 33.5 and entries[2].age != entries[2].age
  assert entries[0].domain == 'guys' and entries[0].pathology == 'none'
  assert not any(e.problem for e in entries)


def test_flat_names(tmp_path):
  touch(tmp_path, 'x/p1_t1.nii.gz', 'x/p2_t1.nii.gz', 'y/p1_mask.nii', 'y/p2_mask.nii')
  entries = layout.find(tmp_path, layout.flat('x/*.nii.gz', mask='y/*'))
  assert [e.subject for e in entries] == ['p1', 'p2']
  assert entries[1].mask.endswith('p2_mask.nii')


def test_a_missing_file_is_a_problem_that_names_the_subject(tmp_path):
  touch(tmp_path, 'x/p1_t1.nii', 'x/p2_t1.nii', 'y/p1_mask.nii')
  first, second = layout.find(tmp_path, layout.flat('x/*', mask='y/*'))
  assert not first.problem
  assert 'p2 has 0 mask files' in second.problem
  assert 'allowed is one' in second.problem


def test_lesions_may_lack_only_where_the_table_says_none(tmp_path):
  touch(tmp_path, *(f'sub-{s}/anat/sub-{s}_T1w.nii' for s in 'ABC'))
  touch(tmp_path, 'derivatives/lesions/sub-B/anat/sub-B_mask.nii')
  files = layout.bids(lesion='derivatives/lesions/sub-*/**/*_mask.nii')
  (tmp_path / 'participants.tsv').write_text(
    'participant_id\tpathology\nsub-A\tnone\nsub-B\tms\nsub-C\tms\n'
  )
  a, b, c = layout.find(tmp_path, files)
  assert not a.problem and not b.problem and b.pathology == 'ms'
  assert 'sub-C has 0 lesion files' in c.problem


def test_two_images_of_one_session_are_a_problem(tmp_path):
  touch(tmp_path, 'sub-A/anat/sub-A_run-1_T1w.nii', 'sub-A/anat/sub-A_run-2_T1w.nii')
  (entry,) = layout.find(tmp_path, layout.bids())
  assert 'sub-A has 2 images' in entry.problem


def test_a_folder_without_images(tmp_path):
  with pytest.raises(BadScan, match='no image that matches'):
    layout.find(tmp_path, layout.bids())
  with pytest.raises(BadScan, match='is not a folder'):
    layout.find(tmp_path / 'absent', layout.bids())


def test_a_subject_in_two_splits(tmp_path):
  touch(tmp_path, 'sub-A/ses-1/anat/a_T1w.nii', 'sub-A/ses-2/anat/a_T1w.nii')
  table = 'participant_id\tsession_id\tsplit\nsub-A\tses-1\t{}\nsub-A\tses-2\t{}\n'
  (tmp_path / 'participants.tsv').write_text(table.format('train', 'test'))
  with pytest.raises(BadScan, match="has sub-A in the splits 'train' and 'test'"):
    layout.find(tmp_path, layout.bids())
  (tmp_path / 'participants.tsv').write_text(table.format('val', 'val_lesion'))
  assert [e.split for e in layout.find(tmp_path, layout.bids())] == [
    'val',
    'val_lesion',
  ]


def test_hashed_splits_keep_subjects_together_and_keep_their_fractions():
  entries = [Entry(f's{i}', session, '') for i in range(400) for session in ('1', '2')]
  fractions = {'train': 0.7, 'val': 0.1, 'test': 0.2}
  split = {(e.subject, e.session): e.split for e in splits.assign(entries, fractions)}
  assert all(split[f's{i}', '1'] == split[f's{i}', '2'] for i in range(400))
  part = [list(split.values()).count(name) / 800 for name in fractions]
  assert abs(part[0] - 0.7) < 0.08 and abs(part[2] - 0.2) < 0.08
  fewer = {
    (e.subject, e.session): e.split for e in splits.assign(entries[:9], fractions)
  }
  assert all(split[key] == name for key, name in fewer.items())


def test_splits_are_named_for_all_or_for_none():
  entries = [
    Entry('a', '', 'a.nii', split='test'),
    Entry('b', '', 'b.nii'),
  ]
  with pytest.raises(BadScan, match='b.nii has no split in the table'):
    splits.assign(entries, {'train': 1.0})
