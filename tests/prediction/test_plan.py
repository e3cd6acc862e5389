"""What is predicted, and where it goes, is decided and checked before any work."""

import json
import pathlib

import pytest

from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.prediction import file_stamps, plan, sidecar
from uad_jax.prediction.scan_preparation import facts_of
from uad_jax.prediction.scan_search import Companions, person_of


def touch(root, *names):
  for name in names:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(b'x')


def planned(root, output, pattern='', **masks):
  return plan.plan(plan.search(str(root), pattern), pathlib.Path(output), **masks)


def test_results_mirror_the_folders_of_the_input(tmp_path):
  touch(tmp_path, 'P1/T1.nii.gz', 'P2/T1.nii.gz')
  tasks = planned(tmp_path, 'out', '*/T1.nii.gz')
  assert [task.stem for task in tasks] == ['P1/T1', 'P2/T1']
  assert [task.participant for task in tasks] == ['P1', 'P2']
  (task,) = planned(tmp_path / 'P1' / 'T1.nii.gz', 'out')
  assert (task.stem, task.name, task.participant) == ('T1', 'T1.nii.gz', 'T1')


def test_bids_paths_give_participant_and_session(tmp_path):
  name = 'sub-01/ses-b/anat/sub-01_ses-b_T1w.nii.gz'
  touch(tmp_path, name, 'sub-01/ses-b/func/sub-01_bold.nii.gz', 'other.nii.gz')
  (task,) = planned(tmp_path, 'out')
  assert task.name == name and task.stem == name.removesuffix('.nii.gz')
  assert (task.participant, task.session) == ('sub-01', 'ses-b')


@pytest.mark.parametrize(
  'names', [('a.nii', 'a.nii.gz'), ('P/T1.img', 'P/T1.nii.gz', 'P/T2.nii')]
)
def test_two_scans_with_the_same_results_are_refused_with_both_paths(tmp_path, names):
  touch(tmp_path, *names)
  with pytest.raises(ValueError, match='would both be written') as error:
    planned(tmp_path, tmp_path / 'out', '**/*')
  assert all(str(tmp_path / name) in str(error.value) for name in names[:2])


def results(root, stem, kinds=('anomaly.nii.gz', 'lesion.nii.gz', 'overlay.png')):
  name = stem.rpartition('/')[2]
  files = [f'{name}_{kind}' for kind in kinds]
  touch(root, *((root / stem).parent / file for file in files))
  content = {sidecar.OURS: 0.1, 'files': files, 'made_from': {}}
  (root / f'{stem}.json').write_text(json.dumps(content))


def test_results_are_no_scans(tmp_path):
  touch(tmp_path, 'a.nii.gz', 'mine_anomaly.nii.gz')
  results(tmp_path, 'a')
  results(tmp_path, 'maps/a')
  for pattern, number in (('', 2), ('**/*.nii.gz', 4)):
    scans = plan.search(str(tmp_path), pattern)
    assert scans.names == ['a.nii.gz', 'mine_anomaly.nii.gz']
    assert len(scans.results) == number
  with pytest.raises(FileNotFoundError, match='is a result of predict'):
    plan.search(str(tmp_path / 'a_lesion.nii.gz'))
  with pytest.raises(FileNotFoundError, match='no scans besides results of predict'):
    plan.search(str(tmp_path / 'maps'))


def test_results_of_older_versions_are_no_scans(tmp_path):
  touch(tmp_path, 'a.nii.gz', 'a_anomaly.nii.gz', 'a_other.nii.gz')
  (tmp_path / 'a.json').write_text(json.dumps({sidecar.OURS: 0.1}))
  assert plan.search(str(tmp_path)).names == ['a.nii.gz', 'a_other.nii.gz']


def test_files_of_others_are_never_replaced(tmp_path):
  touch(tmp_path, 'a.nii.gz')
  for name in ('a_lesion.nii.gz', 'a.json', 'scans.csv', 'index.html', 'a_overlay.png'):
    (tmp_path / name).write_text('{"EchoTime": 3}')
    with pytest.raises(ValueError, match=f'{name} was not written by predict'):
      planned(tmp_path, tmp_path, 'a.nii.gz')
    (tmp_path / name).unlink()
  results(tmp_path, 'a')
  for name, mark in plan.TABLES.items():
    (tmp_path / name).write_text(mark)
  assert len(planned(tmp_path, tmp_path)) == 1


def test_an_output_that_is_a_file_is_refused(tmp_path):
  touch(tmp_path, 'a.nii.gz', 'maps')
  for output in (tmp_path / 'maps', tmp_path / 'maps' / 'below'):
    with pytest.raises(ValueError, match='maps cannot be written in|below cannot be'):
      planned(tmp_path, output)


def test_an_output_where_no_file_can_be_made_is_refused(tmp_path):
  # /proc lets root "write", but no file can be made there.
  touch(tmp_path, 'P1/T1.nii.gz')
  with pytest.raises(ValueError, match='cannot be written in /proc '):
    planned(tmp_path, '/proc/maps', '*/T1.nii.gz')
  touch(tmp_path, 'out/P1')  # a file where a folder of results is to be
  with pytest.raises(ValueError, match='cannot be written in .*out/P1 '):
    planned(tmp_path, tmp_path / 'out', 'P1/T1.nii.gz')
  assert [p.name for p in (tmp_path / 'out').iterdir()] == ['P1']


def test_the_result_of_another_scan_is_not_replaced(tmp_path):
  touch(tmp_path, 'in/P1/T1.nii.gz', 'in/P2/T1.nii.gz', 'copy/T1.nii.gz')
  first, second = (tmp_path / 'in' / p / 'T1.nii.gz' for p in ('P1', 'P2'))
  out = tmp_path / 'out'
  results(out, 'T1')
  stamp = file_stamps.stamp(first)
  (task,) = planned(first, out)
  content = json.loads((out / 'T1.json').read_text()) | facts_of(task)
  content['made_from'] = {'scan': stamp}
  (out / 'T1.json').write_text(json.dumps(content))
  assert planned(first, out) and planned(tmp_path / 'copy/T1.nii.gz', out)
  first.write_bytes(b'another content')
  (tmp_path / 'link').symlink_to(tmp_path / 'in')
  assert planned(first, out) and planned(tmp_path / 'link/P1/T1.nii.gz', out)
  second.write_bytes(b'another scan')
  with pytest.raises(ValueError, match='give another --output, or --input=') as error:
    planned(second, out)
  assert f'{first} ' in str(error.value) and f'{second};' in str(error.value)
  assert f'--input={tmp_path / "in"} ' in str(error.value)


def test_links_are_followed_and_shadows_left_out(tmp_path):
  touch(tmp_path, 'store/anat/sub-01_ses-01_T1w.nii.gz')
  folder = tmp_path / 'data'
  touch(folder, 'sub-01/ses-02/anat/._sub-01_T1w.nii.gz', 'sub-02/.x/anat/b.nii.gz')
  (folder / 'sub-01/ses-01').symlink_to(tmp_path / 'store')
  (folder / 'sub-01/again').symlink_to(folder)
  scans = plan.search(str(folder))
  assert scans.names == ['sub-01/ses-01/anat/sub-01_ses-01_T1w.nii.gz']


MASKS = 'derivatives/**/{id}*_mask.nii.gz'


def test_masks_are_matched_by_subject_and_session(tmp_path):
  for subject in ('sub-1', 'sub-11'):
    for session in ('ses-1', 'ses-2'):
      anat = f'{subject}/{session}/anat'
      name = f'{subject}_{session}'
      touch(tmp_path, f'{anat}/{name}_T1w.nii.gz')
      place = f'derivatives/prep/{anat}/{name}'
      touch(tmp_path, f'{place}_desc-brain_mask.nii.gz', f'{place}_dseg.nii.gz')
      touch(tmp_path, f'{place}_space-MNI152_desc-brain_mask.nii.gz')
  tasks = planned(tmp_path, 'out', masks=MASKS, labels='derivatives/**/{id}*_dseg.nii*')
  assert len(tasks) == 4
  for task in tasks:
    base = f'{task.participant}_{task.session}'
    assert task.mask.name == f'{base}_desc-brain_mask.nii.gz' and not task.problem
    assert task.labels.name == f'{base}_dseg.nii.gz'


def test_missing_and_several_masks_are_told(tmp_path):
  touch(tmp_path, *(f'sub-{i}/anat/sub-{i}_T1w.nii' for i in (1, 2, 3)))
  touch(tmp_path, 'derivatives/sub-1_mask.nii.gz', 'derivatives/a/sub-3_mask.nii.gz')
  touch(tmp_path, 'derivatives/b/sub-3_mask.nii.gz')
  one, two, three = planned(tmp_path, 'out', masks=MASKS)
  assert one.mask.name == 'sub-1_mask.nii.gz' and not one.problem
  assert 'sub-2_T1w.nii has 0 mask files by' in two.problem
  assert 'sub-3_T1w.nii has 2 mask files by' in three.problem
  assert 'a/sub-3_mask.nii.gz, b/sub-3_mask.nii.gz' in three.problem


def test_runs_of_a_session_have_masks_of_their_own(tmp_path):
  for run in ('run-1', 'run-2'):
    touch(tmp_path, f'sub-1/anat/sub-1_{run}_T1w.nii')
    touch(tmp_path, f'derivatives/sub-1_{run}_desc-brain_mask.nii.gz')
  tasks = planned(tmp_path, 'out', masks=MASKS)
  assert [t.mask.name[6:11] for t in tasks] == ['run-1', 'run-2']


def test_masks_of_flat_folders_and_of_other_trees(tmp_path):
  touch(tmp_path, 'in/p1.nii.gz', 'in/p10.nii.gz', 'm/p1_mask.nii', 'm/p10_mask.nii')
  for pattern in ('../m/{id}_*.nii', str(tmp_path / 'm' / '{name}*')):
    tasks = planned(tmp_path / 'in', 'out', masks=pattern)
    assert [task.mask.name for task in tasks] == ['p1_mask.nii', 'p10_mask.nii']
  with pytest.raises(ValueError, match='placeholder {subject}; allowed: {participant}'):
    planned(tmp_path / 'in', 'out', masks='m/{subject}.nii')
  masks = Companions(tmp_path / 'in', 'nowhere/{id}.nii', 'mask')
  with pytest.raises(BadScan, match='p1.nii.gz has 0 mask files'):
    masks.only(masks.of(person_of('p1.nii.gz')), 'p1.nii.gz')


def test_masks_and_labels_beside_the_scans_are_no_scans(tmp_path):
  kinds = ('', '_mask', '_dseg')
  touch(tmp_path, *(f'{p}{kind}.nii.gz' for p in ('P1', 'P2') for kind in kinds))
  patterns = {'masks': '{id}_mask.nii.gz', 'labels': '{id}_dseg.nii.gz'}
  tasks = planned(tmp_path, 'out', **patterns)
  assert [(t.name, t.mask.name, t.labels.name, t.problem) for t in tasks] == [
    (f'{p}.nii.gz', f'{p}_mask.nii.gz', f'{p}_dseg.nii.gz', '') for p in ('P1', 'P2')
  ]


def test_a_mask_is_no_scan_whose_mask_it_is(tmp_path):
  # sub-02 has a mask alone, and sub-03 two masks.
  names = ('01_T1w', '01_mask', '02_mask', '03_T1w', '03_a_mask', '03_b_mask')
  touch(tmp_path / 'in', *(f'sub-{name}.nii.gz' for name in names))
  one, two, three = planned(tmp_path / 'in', 'out', masks='../*/{id}*_mask.nii.gz')
  assert one.name == 'sub-01_T1w.nii.gz' and one.mask.name == 'sub-01_mask.nii.gz'
  assert "sub-02_mask.nii.gz is its own mask by '../*/{id}*_mask" in two.problem
  assert three.name == 'sub-03_T1w.nii.gz' and 'has 2 mask files' in three.problem


def test_a_pattern_that_matches_scans_and_masks_is_told_of(tmp_path):
  touch(tmp_path, 'P1.nii.gz', 'P1_mask.nii.gz')
  (task,) = planned(tmp_path, 'out', masks='{id}*.nii.gz')
  assert task.name == 'P1.nii.gz'
  assert 'P1.nii.gz has 2 mask files by' in task.problem
  tasks = planned(tmp_path, 'out', masks='*.nii.gz')  # each is the mask of the other
  assert ['has 2 mask files by' in task.problem for task in tasks] == [True, True]
