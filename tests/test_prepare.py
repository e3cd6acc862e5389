import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from tests.data.heads import tree
from tests.data.lesion_files import shape_files
from uad_jax import prepare
from uad_jax.data import manifest
from uad_jax.data.cohorts import layout, lesion_cohort, lesion_plan
from uad_jax.datasets.nifti_folder import nifti_folder_dataset_builder as nifti_folder

SUBJECTS = ('sub-A', 'sub-B', 'sub-C', 'sub-D', 'sub-E')
TABLE = 'participant_id\tage\tsex\tsplit\n' + ''.join(
  f'{subject}\t40\tF\t{split}\n'
  for subject, split in zip(
    SUBJECTS, ('train', 'val', 'test', 'test', 'test'), strict=True
  )
)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  root = tmp_path_factory.mktemp('cohort')
  tree(root / 'healthy', SUBJECTS, TABLE)
  (root / 'healthy/LICENSE.md').write_text('CC BY\n')
  shape_files(root / 'masks', 6)
  return root


def command(root, output, **changes):
  options = {'source': root / 'healthy', 'masks': root / 'masks', 'output': output}
  return ['lesions', *(f'--{k}={v}' for k, v in (options | changes).items())]


@pytest.fixture(scope='module')
def cohort(folders):
  assert prepare.main(command(folders, folders / 'cohort')) == 0
  return folders / 'cohort'


def values(path):
  return nib.load(path).get_fdata()


def test_lesions_are_where_the_masks_say(cohort, folders):
  entries = layout.find(cohort, layout.lesion_cohort())
  assert not any(e.problem for e in entries)
  told = {(e.subject, e.session): (e.split, e.pathology) for e in entries}
  assert told['sub-A', ''] == ('train', 'none') and told['sub-B', ''] == ('val', 'none')
  assert told['sub-B', 'ses-lesion'][0] == 'val_lesion'
  tested = ('sub-C', 'sub-D', 'sub-E')
  assert all(told[s, ''] == ('test', 'none') for s in tested)
  assert all(told[s, 'ses-lesion'][0] == 'test' for s in tested)
  assert {told[s, 'ses-lesion'][1] for s in tested} == {'dark', 'bright', 'iso'}
  for entry in entries:
    suffix = '.nii' if SUBJECTS.index(entry.subject) % 2 else '.nii.gz'
    source = folders / f'healthy/{entry.subject}/anat/{entry.subject}_T1w{suffix}'
    healthy = nib.load(source)
    image = nib.load(entry.image)
    np.testing.assert_allclose(image.affine, healthy.affine)
    assert image.shape == healthy.shape
    if entry.pathology == 'none':
      np.testing.assert_array_equal(image.get_fdata(), healthy.get_fdata())
      continue
    np.testing.assert_array_equal(values(entry.twin), healthy.get_fdata())
    lesion = values(entry.lesion) > 0
    assert 0.001 < lesion.sum() / (values(entry.labels) > 0).sum() < 0.05
    change = np.abs(image.get_fdata() - healthy.get_fdata())
    assert change[lesion].mean() > 20 * change[~lesion].mean()
  assert (cohort / 'LICENSE.md').exists()


def test_test_and_validation_have_other_shapes(cohort, folders):
  one, two = lesion_plan.divide(folders / 'masks', 0)
  assert not set(one) & set(two) and len(one) + len(two) == 6
  used = {True: set(), False: set()}
  for path in cohort.glob('derivatives/lesions/**/*.json'):
    names = {part['mask'] for part in json.loads(path.read_text())['parts']}
    used[path.name.startswith('sub-B')] |= names  # the validation subject
  assert used[True] and used[False] and not used[True] & used[False]


@pytest.mark.slow
def test_the_seed_decides(cohort, folders, tmp_path):
  def content(folder):
    paths = [p for p in sorted(folder.rglob('*')) if p.is_file()]
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths}

  assert prepare.main(command(folders, tmp_path / 'same')) == 0
  assert content(tmp_path / 'same') == content(cohort)
  assert prepare.main(command(folders, tmp_path / 'other', seed=1)) == 0
  assert content(tmp_path / 'other') != content(cohort)


def test_the_builder_reads_the_cohort(cohort, tmp_path):
  builder = nifti_folder.open_builder(
    cohort,
    tmp_path,
    layout='lesion_cohort',
    job={'shape': (40, 48), 'spacing': 5.0, 'align': False},
    workers=1,
  )
  builder.download_and_prepare(file_format='array_record')
  assert set(builder.info.splits) == {'train', 'val', 'test', 'val_lesion'}
  for record in builder.as_data_source('test'):
    far = np.abs(record['image'] - record['twin']).max(-1)[record['lesion'][..., 0] > 0]
    lesion = record['session'] == b'ses-lesion'
    assert (record['pathology'] in (b'dark', b'bright', b'iso')) == lesion
    assert far.size == 0 or far.max() > 0
  assert sum(r['lesion'].sum() for r in builder.as_data_source('test')) > 0
  assert all(
    (r['image'] == r['twin']).all() and not r['lesion'].any()
    for r in builder.as_data_source('val')
  )
  assert len(manifest.read(builder.data_dir)['volumes']) == 9


@pytest.mark.parametrize(
  'changes, says',
  [
    ({'source': 'nowhere'}, 'nowhere is not a folder'),
    ({'masks': 'nowhere'}, 'nowhere has 0 lesion masks'),
    ({'split': 'exam'}, "no split 'exam'; allowed are test, train, val"),
    ({'labels': 'absent/*.nii'}, '0 labels files'),
  ],
)
def test_mistakes_leave_nothing(folders, tmp_path, capsys, changes, says):
  output = tmp_path / 'output'
  assert prepare.main(command(folders, output, **changes)) == 1
  message = capsys.readouterr().err
  assert says in message and message.count('\n') == 1
  assert list(tmp_path.iterdir()) == []


def test_a_failure_in_the_middle_leaves_nothing(folders, tmp_path, monkeypatch):
  monkeypatch.setattr(lesion_cohort, '_write', lambda *a: 1 / 0)
  with pytest.raises(ZeroDivisionError):
    prepare.main(command(folders, tmp_path / 'output'))
  assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(cohort, folders, capsys):
  before = sorted(cohort.rglob('*'))
  assert prepare.main(command(folders, cohort)) == 1
  assert 'exists already' in capsys.readouterr().err
  assert sorted(cohort.rglob('*')) == before


def test_the_command_line(tmp_path):
  run = [sys.executable, '-m', 'uad_jax.prepare', 'lesions', '--source=x', '--masks=y']
  done = subprocess.run(
    [*run, f'--output={tmp_path}/o'], capture_output=True, text=True
  )
  assert done.returncode == 1
  assert done.stderr.startswith('error: x is not a folder')


@pytest.mark.parametrize(
  'option, words',
  [
    ('--spacing=500', '--spacing is 500.0; allowed is a number from 0.05 to 20'),
    ('--workers=0', '--workers is 0; allowed is a whole number of 1 or more'),
    ('--shape=9', '--shape is (9,); allowed are 2 or 3 whole numbers'),
  ],
)
def test_a_wrong_option_of_a_build_is_named_before_any_work(
  tmp_path, capsys, option, words
):
  arguments = ['build', 'ixi', f'--source={tmp_path}', f'--data_dir={tmp_path}/data']
  assert prepare.main([*arguments, option]) == 1
  assert words in capsys.readouterr().err and not (tmp_path / 'data').exists()
