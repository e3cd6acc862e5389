import importlib
import json

import numpy as np
import pytest

from tests.data.heads import write
from tests.datasets import lesion_trees, tree_files
from tests.datasets.building import build, records
from uad_jax.data import manifest
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.datasets import catalogue


@pytest.mark.parametrize(
  'change, says',
  [
    ('shape', r'consensus_gt.nii.gz has shape \(31, 26, 25\)'),
    ('shift', 'patient02_consensus_gt.nii.gz lies up to 7.9 mm from its scan'),
    ('missing', r'patient02 has 0 lesion files'),
    ('truncated', 'patient02_FLAIR.nii.gz'),
    ('plain', 'patient02 has 2 images'),
  ],
)
def test_a_broken_patient_stops_or_is_listed(change, says, tmp_path):
  lesion_trees.mslub(tmp_path / 'source')
  folder = tmp_path / 'source/patient02'
  mask, image = (folder / f'patient02_{n}.nii.gz' for n in ('consensus_gt', 'FLAIR'))
  _, affine, lesion, _ = tree_files.brain()
  if change == 'shape':  # off by one voxel
    write(mask, np.pad(lesion, ((0, 1), (0, 0), (0, 0))), affine)
  elif change == 'shift':
    moved = affine.copy()
    moved[:3, 3] += affine[:3, 0]
    tree_files.lesion(mask, affine=moved)
  elif change == 'missing':
    mask.unlink()
  elif change == 'truncated':
    image.write_bytes(image.read_bytes()[:2000])
  elif change == 'plain':
    tree_files.scan(folder / 'patient02_FLAIR.nii', 3)
  source, data = tmp_path / 'source', tmp_path / 'data'
  with pytest.raises(BadScan, match=says):
    build('mslub', source, data, contrast='flair')
  assert not list(data.rglob('*.array_record*'))
  builder = build('mslub', source, data, contrast='flair', keep_going=True)
  stored = manifest.read(builder.data_dir)
  assert len(stored['skipped']) == 1 and 'patient02' in stored['skipped'][0]
  assert {v['subject'] for v in stored['volumes']} == {'patient01', 'patient03'}


def test_tiny_negative_values_are_background(tmp_path):
  tree_files.scan(tmp_path / 'anat/sub-CC1/anat/sub-CC1_T1w.nii', ripple=True)
  builder = build('camcan', tmp_path, tmp_path / 'data')
  details = json.loads(records(builder)[0]['details'])
  steps = {s['step']: s for s in details['chain'][1:]}
  assert steps['brain_mask']['by'] == 'stripped'


def test_mistakes_get_a_sentence(sources, tmp_path):
  with pytest.raises(
    ValueError, match="unknown contrast 'flair'; there are t1, t2, pd"
  ):
    build('ixi', sources('ixi'), tmp_path, contrast='flair')
  with pytest.raises(BadScan, match=r"no t1 image of camcan; expected is '\*\*/sub-CC"):
    build('camcan', sources('ixi'), tmp_path)
  with pytest.raises(BadScan, match='nowhere is not a folder'):
    build('ixi', 'nowhere', tmp_path)
  with pytest.raises(ValueError, match="unknown tree '1999'; there are 2018, 2020"):
    build('brats', sources('brats_2021'), tmp_path, tree='1999')
  both = tmp_path / 'both'
  lesion_trees.brats_2021(both)
  lesion_trees.brats_2023(both)
  with pytest.raises(BadScan, match='releases 2021 and 2023 of brats; choose one'):
    build('brats', both, tmp_path)
  assert build('brats', both, tmp_path, tree='2021').info.splits
  with pytest.raises(ValueError, match="takes no 'colour'; it takes contrast, form"):
    catalogue.module('ixi').open_builder(tmp_path, colour=1)
  with pytest.raises(ValueError, match="unknown dataset 'ixy'; there are adni"):
    catalogue.module('ixy')
  with pytest.raises(ValueError, match="'sim_brain' is no cohort of a provider"):
    catalogue.cohort('sim_brain')


def test_tables_that_cannot_be_read(tmp_path):
  from uad_jax.data.cohorts import people

  (tmp_path / 'IXI.xls').write_bytes(b'not an Excel table')
  with pytest.raises((ModuleNotFoundError, BadScan), match=r'IXI.xls (is|can)'):
    people.load(tmp_path, '*.xls')
  (tmp_path / 'a.csv').write_text('ID,Age\n1,2\n')
  with pytest.raises(BadScan, match="'a.csv' has no column 'Sex'; it has ID, Age"):
    people.column(people.load(tmp_path, 'a.csv'), 'Sex', 'a.csv')
  assert people.load(tmp_path, 'b.csv') is None
  with pytest.raises(BadScan, match="no table 'b.csv', which tells who is ill"):
    people.load(tmp_path, 'b.csv', 'which tells who is ill')


def test_tfds_knows_where_to_get_it(tmp_path):
  module = importlib.import_module('uad_jax.datasets.mslub.mslub_dataset_builder')
  builder = module.Builder(config='flair-slices-heer2021', data_dir=tmp_path)
  assert builder.builder_config.name.startswith('flair-slices-heer2021-128x128-')
  assert builder.info.homepage.startswith('https://lit.fe.uni-lj.si')
  with pytest.raises(ValueError, match='not prepared in .*prepare build mslub'):
    builder.download_and_prepare()
