import json
import pathlib

import nibabel as nib
import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags

from tests.data.heads import head, tree, write
from uad_jax import prepared_data, registry
from uad_jax.data import manifest
from uad_jax.data.cohorts import layout
from uad_jax.data.preprocessing import preprocess
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.datasets import option_checks
from uad_jax.datasets.nifti_folder import nifti_folder_dataset_builder as nifti_folder

LABELS = {'labels': 'derivatives/*/sub-*/**/*_dseg.nii.gz'}
SUBJECTS = ('sub-A', 'sub-B', 'sub-C')
TABLE = (
  'participant_id\tage\tsplit\nsub-A\t30\ttrain\nsub-B\t41.5\ttrain\nsub-C\t77\ttest\n'
)
JOB = {'shape': (32, 40), 'spacing': 6.0, 'align': False}


@pytest.fixture
def source(tmp_path):
  return tree(tmp_path / 'source', SUBJECTS, TABLE)


def build(source, data_dir, **options):
  options = {'patterns': LABELS, 'job': JOB, 'workers': 1} | options
  builder = nifti_folder.open_builder(source, data_dir, **options)
  builder.download_and_prepare(file_format='array_record')
  return builder


def leftovers(data_dir):
  """Files in the data folder, except the parts that a next build would use."""
  files = [p for p in pathlib.Path(data_dir).rglob('*') if p.is_file()]
  return [p for p in files if '.parts' not in p.parts or p.suffix != '.npz']


def test_slices(source, tmp_path):
  builder = build(source, tmp_path / 'data')
  records = list(builder.as_data_source('train'))
  prepared = preprocess.prepare_scan(
    source / 'sub-B/anat/sub-B_T1w.nii',
    preprocess.job(**JOB),
    labels=source / 'derivatives/dlmuse/sub-B/anat/sub-B_dseg.nii.gz',
  )
  subject = [r for r in records if r['subject'] == b'sub-B']
  assert [r['subject'] for r in records] == sorted(r['subject'] for r in records)
  assert tuple(int(r['slice']) for r in subject) == prepared.slices
  middle = subject[len(subject) // 2]
  index = int(middle['slice'])
  for name in ('image', 'mask', 'labels', 'lesion', 'twin'):
    np.testing.assert_array_equal(middle[name], getattr(prepared, name)[:, :, index])
  np.testing.assert_allclose(middle['affine'], prepared.affine)
  np.testing.assert_allclose(
    middle['position'], index / (prepared.image.shape[2] - 1), rtol=1e-6
  )
  assert middle['age'] == np.float32(41.5) and middle['pathology'] == b'none'
  details = json.loads(middle['details'])
  assert details['native_shape'] == list(prepared.native_shape)
  np.testing.assert_allclose(details['to_scan'], prepared.to_scan)
  assert {r['subject'] for r in builder.as_data_source('test')} == {b'sub-C'}


def test_volumes_and_manifest(source, tmp_path):
  job = JOB | {'shape': (32, 40, 28)}
  first = build(source, tmp_path / 'one', job=job)
  (record,) = first.as_data_source('test')
  assert record['image'].shape == (32, 40, 28, 1)
  assert record['slice'] == -1 and record['position'] == 0.5
  second = build(source, tmp_path / 'two', job=job, workers=2)
  manifests = [manifest.read(b.data_dir) for b in (first, second)]
  assert manifest.same(*manifests)
  assert [v['subject'] for v in manifests[0]['volumes']] == ['sub-C', 'sub-A', 'sub-B']
  other = build(source, tmp_path / 'one', job=job | {'intensity': 'zscore'})
  assert other.data_dir != first.data_dir
  assert not manifest.same(manifests[0], manifest.read(other.data_dir))


def test_what_differs_never_collides(source):
  def name(**options):
    options = {'patterns': LABELS, 'job': JOB} | options
    return nifti_folder.open_builder(source, '/nowhere', **options).builder_config.name

  names = [
    name(),
    name(patterns={}),
    name(job=JOB | {'spacing': 5.0}),
    name(job=JOB | {'align': True}),
    name(fractions={'train': 1.0}),
    name(domain='ixi'),
  ]
  assert len(set(names)) == len(names)
  assert name() == name(workers=5)
  assert name().startswith('source-32x40-')


def damage(source, how):
  image = source / 'sub-B/anat/sub-B_T1w.nii'
  labels = source / 'derivatives/dlmuse/sub-B/anat/sub-B_dseg.nii.gz'
  data, _, affine = head()
  if how == 'truncated':
    image.write_bytes(image.read_bytes()[:5000])
  elif how == 'nan':
    data[2, 3, 4] = np.nan
    write(image, data, affine)
  elif how == 'constant':
    write(image, np.full_like(data, 7), affine)
  elif how == 'four':
    write(image, np.stack([data, data], -1), affine)
  elif how == 'labels_missing':
    labels.unlink()
  elif how == 'labels_of_other_shape':
    write(labels, np.ones((9, 9, 9), np.uint8), affine)
  elif how == 'labels_empty':
    write(labels, np.zeros(data.shape, np.uint8), affine)


@pytest.mark.parametrize(
  'how, says',
  [
    ('truncated', 'sub-B_T1w.nii'),
    ('nan', 'sub-B_T1w.nii holds NaN'),
    pytest.param('constant', 'sub-B_T1w.nii is constant', marks=pytest.mark.slow),
    ('four', 'sub-B_T1w.nii has 4 dimensions'),
    pytest.param('labels_missing', 'sub-B has 0 labels files', marks=pytest.mark.slow),
    pytest.param(
      'labels_of_other_shape', 'sub-B_dseg.nii.gz has shape', marks=pytest.mark.slow
    ),
    ('labels_empty', 'sub-B_dseg.nii.gz labels nothing'),
  ],
)
def test_a_bad_scan_stops_the_build_or_is_left_out(source, tmp_path, how, says):
  damage(source, how)
  with pytest.raises(BadScan, match=says):
    build(source, tmp_path / 'data')
  assert leftovers(tmp_path / 'data') == []
  builder = build(source, tmp_path / 'data', keep_going=True)
  stored = manifest.read(builder.data_dir)
  assert len(stored['skipped']) == 1 and 'sub-B' in stored['skipped'][0]
  assert [v['subject'] for v in stored['volumes']] == ['sub-C', 'sub-A']


def test_folders_that_cannot_be_used(source, tmp_path):
  (source / 'participants.tsv').write_text(TABLE + 'sub-A\t30\ttest\n')
  with pytest.raises(BadScan, match="sub-A in the splits 'train' and 'test'"):
    build(source, tmp_path / 'data')
  (tmp_path / 'void').mkdir()
  with pytest.raises(BadScan, match='void has no image'):
    build(tmp_path / 'void', tmp_path / 'data')
  assert leftovers(tmp_path / 'data') == []


def test_wrong_options_get_a_sentence(source):
  with pytest.raises(ValueError, match="'dicom'; allowed are bids, flat"):
    nifti_folder.open_builder(source, layout='dicom')
  with pytest.raises(ValueError, match="takes no 'seed'; it takes source"):
    nifti_folder.open_builder(source, seed=1)
  with pytest.raises(ValueError, match='no common shape'):
    nifti_folder.config(str(source), layout.bids(), [('check', {})])


def test_a_flat_folder_without_table_or_labels(tmp_path):
  image, labels, affine = head()
  stripped = np.where(labels > 0, image + 1, 0)
  for name in 'abcdef':
    write(tmp_path / f'flat/{name}.nii.gz', stripped, affine)
  lesion = np.zeros_like(stripped)
  lesion[25:28, 25:28, 20:23] = 1
  for name in 'abcdef':
    write(tmp_path / f'masks/{name}_lesion.nii.gz', lesion, affine)
  builder = build(
    tmp_path,
    tmp_path / 'data',
    layout='flat',
    patterns={'image': 'flat/*', 'lesion': 'masks/*'},
    fractions={'test': 1.0},
  )
  records = list(builder.as_data_source('test'))
  assert {r['pathology'] for r in records} == {b'lesion'}
  assert sum(r['lesion'].sum() for r in records) > 0
  # The lesion-free twin is unknown.
  assert not any(r['twin'].any() for r in records)
  assert json.loads(records[0]['details'])['twin'] is False


@pytest.mark.slow
@pytest.mark.realdata
def test_ms_patients(real_data, tmp_path):
  builder = build(
    real_data / 'ms_t1_flair',
    tmp_path / 'data',
    patterns={
      'image': 'sub-*/anat/*_FLAIR.nii.gz',
      'lesion': 'derivatives/lesions/sub-*/**/*_mask.nii.gz',
    },
    fractions={'test': 1.0},
    job={'shape': (64, 64), 'spacing': 3.0},
  )
  records = list(builder.as_data_source('test'))
  details_of = {r['subject'].decode(): json.loads(r['details']) for r in records}
  assert set(details_of) == {'sub-LJ07', 'sub-MSLP14'}
  for subject, details in details_of.items():
    steps = {s['step']: s for s in details['chain'][1:]}
    assert steps['brain_mask']['by'] == 'stripped'
    assert steps['align']['correlation'] > 0.7
    lesion = sum(r['lesion'].sum() for r in records if r['subject'] == subject.encode())
    native = next((real_data / 'ms_t1_flair/derivatives').rglob(f'{subject}*_mask*'))
    assert lesion > 0 and nib.load(native).shape == tuple(details['native_shape'])


def test_the_numbers_of_lesion_labels_are_a_flag(
  source, tmp_path, in_the_project, monkeypatch
):
  values = flags.FlagValues()
  config = registry.read_config(registry.config_path('vae'), 'folder')
  older = config.copy_and_resolve_references().unlock()
  del older.data.patterns['lesion_values']
  assert registry.digest(config) == registry.digest(older)
  assert registry.fingerprint(config) == registry.fingerprint(older)
  argv = ['main', f'--config.data.source={source}', f'--config.data.dir={tmp_path}']
  argv += ['--config.data.patterns.lesion_values=(1,4)']
  monkeypatch.setattr('sys.argv', argv)  # which tells ml_collections its flags
  config_flags.DEFINE_config_dict('config', config, flag_values=values)
  values(argv)
  data = registry.plain(values.config)['data']
  (builder,) = prepared_data.make_builders(data | {'val': 'train'}).values()
  entries, _ = builder.builder_config.find(str(source))
  assert [tuple(entry.lesion_values) for entry in entries] == [(1, 4)] * len(SUBJECTS)
  with pytest.raises(ValueError, match=r'lesion_values is \(1, 0\); allowed are whole'):
    option_checks.check({**data, 'patterns': {'lesion_values': [1, 0]}})
