"""Subjects of flat folders, named after the files."""

import pytest
from absl import flags
from ml_collections.config_flags import config_flags

from tests.data.cohorts.folders import touch
from uad_jax import registry
from uad_jax.data.cohorts import layout
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.datasets import option_checks
from uad_jax.datasets.nifti_folder import nifti_folder_dataset_builder as nifti_folder


def subjects(root, files, pattern='*.nii*', **patterns):
  touch(root, *files)
  entries = layout.find(root, layout.flat(pattern, **patterns))
  assert not [entry.problem for entry in entries if entry.problem]
  return [entry.subject for entry in entries]


@pytest.mark.parametrize(
  'files, pattern, expected',
  [
    (['P1_T1.nii', 'P2_T1.nii.gz', 'P3.nii'], '*.nii*', ['P1', 'P2', 'P3']),
    (['x/p.1.nii', 'y/q_2.nii'], '*/*.nii', ['p', 'q']),
    (['siteA_0.nii', 'siteA_1.nii'], '*.nii', ['siteA_0', 'siteA_1']),
    (['pat.0.nii.gz', 'pat.1.nii.gz'], '*', ['pat.0', 'pat.1']),
    (['P0_v1.nii', 'P0_v2.nii', 'P1_v1.nii'], '*', ['P0_v1', 'P0_v2', 'P1']),
    (['sub1/T1.nii', 'sub2/T1.nii'], '*/T1.nii', ['sub1-T1', 'sub2-T1']),
    (['sub/T1.nii', 'T1_x.nii'], '**/*.nii', ['T1_x', 'sub-T1']),
    (['in/a_1.nii', 'in/a_2.nii'], 'in/*', ['a_1', 'a_2']),
    (['in/s/a_1_T1.nii', 'in/s/a_2_T1.nii'], 'in/**/*', ['s-a_1_T1', 's-a_2_T1']),
  ],
)
def test_subjects_by_default(tmp_path, files, pattern, expected):
  assert subjects(tmp_path, files, pattern) == expected


def test_whole_names_are_told(tmp_path, capsys):
  subjects(tmp_path, ['P0_v1.nii', 'P0_v2.nii', 'P1_v1.nii'])
  first, second = capsys.readouterr().err.splitlines()
  assert first == f'{tmp_path}: 2 subjects, 3 scans'.replace('2 s', '3 s')
  assert '2 images share their name up to the first dot or underscore' in second
  assert 'P0_v1, P0_v2; if several are of one person, who then may be both in' in second
  assert "--config.data.patterns.subject='REGEX'" in second


@pytest.mark.parametrize(
  'files',
  [
    ['P0_t1.nii', 'P0_flair.nii'],
    ['P0_T1w.nii', 'P0_T1w_mask.nii'],
    ['P0.nii', 'P0_seg.nii'],
    ['BraTS_1_flair.nii', 'BraTS_1_seg.nii', 'BraTS_2_flair.nii', 'BraTS_2_seg.nii'],
  ],
)
def test_contrasts_and_masks_of_a_person_are_no_subjects(tmp_path, files):
  touch(tmp_path, *files)
  (entry,) = layout.find(tmp_path, layout.flat())
  assert f'has {len(files)} images' in entry.problem
  assert 'narrow the pattern of the images, or name subject' in entry.problem


@pytest.mark.parametrize('more', [[], ['x/a_2.nii']])
def test_one_name_with_two_suffixes(tmp_path, more):
  touch(tmp_path, 'x/a_1.nii', 'x/a_1.nii.gz', *more)
  with pytest.raises(BadScan) as caught:
    layout.find(tmp_path, layout.flat('x/*'))
  assert str(caught.value) == (
    f'{tmp_path}/x/a_1.nii and {tmp_path}/x/a_1.nii.gz have one name but for the '
    'suffix; allowed is one of them: remove the other, or narrow '
    'config.data.patterns.image'
  )


@pytest.mark.parametrize(
  'images, image, masks, mask',
  [
    (['a_1.nii', 'a_10.nii'], '*.nii', ['m/a_1.nii', 'm/a_10.nii'], 'm/*'),
    (['a_1.nii', 'a_1_2.nii'], '*.nii', ['m/a_1_m.nii', 'm/a_1_2_m.nii'], 'm/*'),
    (['x/A/T1.nii', 'x/B/T1.nii'], 'x/*/*', ['m/A/m.nii', 'm/B/m.nii'], 'm/*/*'),
    (['A/T1.nii', 'B/T1.nii'], '*/T1.nii', ['A/m.nii', 'B/m.nii'], '*/m.nii'),
    (['a_1_T1.nii', 'a_2_T1.nii'], '*', ['m/a_1_mask.nii', 'm/a_2_mask.nii'], 'm/*'),
    (['a_1.nii', 'a_2.nii'], '*', ['d/e/a_1_m.nii', 'd/e/a_2_m.nii'], 'd/**/*'),
    (['a_1.nii', 'b.nii'], '*', ['m/a_m.nii', 'm/b_m.nii'], 'm/*'),
  ],
)
def test_masks_go_with_their_images(tmp_path, images, image, masks, mask):
  touch(tmp_path, *images, *masks)
  entries = layout.find(tmp_path, layout.flat(image, mask=mask))
  pairs = {(entry.image, entry.mask) for entry in entries}
  expected = zip(images, masks, strict=True)
  assert pairs == {(f'{tmp_path}/{i}', f'{tmp_path}/{m}') for i, m in expected}


def test_subject_and_session_by_expressions(tmp_path):
  files = ['P0_v1.nii', 'P0_v2.nii', 'P1_v1.nii']
  touch(tmp_path, *files)
  for subject in (r'^(P\d+)_', r'P\d+', r'([^/._]+)[^/]*$'):
    entries = layout.find(tmp_path, layout.flat(subject=subject, session=r'_(v\d)\.'))
    keys = [(entry.subject, entry.session) for entry in entries]
    assert keys == [('P0', 'v1'), ('P0', 'v2'), ('P1', 'v1')]
  assert subjects(tmp_path, files, subject=r'(P\d)_(v\d)') == [
    'P0-v1',
    'P0-v2',
    'P1-v1',
  ]
  touch(tmp_path, 'sub-x_1/T1w.nii')
  find = layout.bids('sub-*/T1w.nii', subject=r'(sub-\w+)/')
  assert [e.subject for e in layout.find(tmp_path, find)] == ['sub-x_1']
  with pytest.raises(BadScan, match="subject is '.P', which is no regular expression"):
    layout.find(tmp_path, layout.flat(subject='(P'))
  with pytest.raises(BadScan, match='session is .*, which is no regular expression'):
    layout.find(tmp_path, layout.flat(session='*'))
  with pytest.raises(BadScan, match="P0_v1.nii names no subject by '.x"):
    layout.find(tmp_path, layout.flat(subject='(x?)'))


def test_the_flags_of_the_config(in_the_project, tmp_path, monkeypatch):
  values = flags.FlagValues()
  config = registry.read_config(registry.config_path('dae_unc'), 'folder')
  before = registry.digest(config)
  assert 'subject' not in registry.plain(config)['data']['patterns']
  patterns = '--config.data.patterns'
  argv = ['main', f'--config.data.source={tmp_path}', '--config.data.layout=flat']
  argv += [f'{patterns}.image=*.nii', rf'{patterns}.subject=(P\d+)_']
  argv += [f'{patterns}.session=v.']
  monkeypatch.setattr('sys.argv', argv)  # which tells ml_collections its flags
  config_flags.DEFINE_config_dict('config', config, flag_values=values)
  values(argv)
  data = registry.plain(values.config)['data']
  assert (
    data['patterns']['subject'] == r'(P\d+)_' and data['patterns']['session'] == 'v.'
  )
  assert registry.digest(values.config) != before
  option_checks.check({**data, 'dir': str(tmp_path)})
  patterns = values.config.data.patterns
  builder = nifti_folder.open_builder(
    tmp_path, tmp_path, layout='flat', patterns=patterns, job={'shape': (32, 32)}
  )
  touch(tmp_path, 'P0_v1.nii', 'P0_v2.nii')
  scans, _ = builder.builder_config.find(str(tmp_path))
  assert [(e.subject, e.session) for e in scans] == [('P0', 'v1'), ('P0', 'v2')]


def test_patterns_that_a_layout_does_not_take(tmp_path):
  job = {'shape': (32, 32)}

  def name(layout, **patterns):
    patterns = {'mask': '', 'subject': None} | patterns
    builder = nifti_folder.open_builder(
      tmp_path, '/nowhere', layout=layout, patterns=patterns, job=job
    )
    return builder.builder_config.name

  assert name('lesion_cohort') == name('lesion_cohort', labels='')
  with pytest.raises(ValueError, match="'lesion_cohort' takes no pattern 'mask'"):
    name('lesion_cohort', mask='m/*')
  says = "'labels' is '.*', in which {id} is not understood; allowed are the wildcards"
  with pytest.raises(ValueError, match=says):
    name('bids', labels='derivatives/**/{id}*')
  assert name('bids', subject='(sub-[0-9]{2})')
