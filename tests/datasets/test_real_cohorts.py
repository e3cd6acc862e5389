"""Real scans, under their providers' names, through the named builders."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from tests.datasets.building import records
from uad_jax.data import manifest
from uad_jax.data.cohorts import audit
from uad_jax.datasets import catalogue
from uad_jax.datasets.nifti_folder import nifti_folder_dataset_builder as nifti_folder

pytestmark = [pytest.mark.slow, pytest.mark.realdata]
SMALL = {'shape': (64, 64), 'spacing': 3.0, 'workers': 2}


@pytest.fixture
def ixi(real_data, tmp_path):
  """Eight heads in a folder as IXI-T1.tar unpacks to."""
  folder = tmp_path / 'ixi/IXI-T1'
  folder.mkdir(parents=True)
  for path in sorted((real_data / 'ixi_t1_2mm').glob('sub-*/anat/*_T1w.nii*'))[:8]:
    number = path.name.split('_')[0].removeprefix('sub-IXI')
    (folder / f'IXI{number}-HH-1000-T1.nii.gz').symlink_to(path)
  return tmp_path / 'ixi'


def test_ixi_by_both_builders(ixi, tmp_path):
  named = catalogue.module('ixi').open_builder(tmp_path / 'data', source=ixi, **SMALL)
  named.download_and_prepare()
  scans, findings = audit.run(named.data_dir)
  assert len(scans) == 8 and not findings, findings
  chain = json.loads(records(named)[0]['details'])['chain']
  steps = {s['step']: s for s in chain[1:]}
  assert steps['brain_mask']['by'] == 'template'
  assert steps['align']['correlation'] > 0.85
  # The same steps give the same volumes, whichever builder asks for them.
  job = {**SMALL, 'align': True, 'intensity': 'quartiles'}
  del job['workers']
  patterns = {'image': 'IXI-T1/*.nii.gz', 'subject': r'(IXI\d+)-'}
  folder = nifti_folder.open_builder(
    ixi, tmp_path / 'data', layout='flat', patterns=patterns, job=job
  )
  folder.download_and_prepare()
  volumes = [
    {v['subject']: v['records'] for v in manifest.read(b.data_dir)['volumes']}
    for b in (named, folder)
  ]
  assert volumes[0] == volumes[1] and len(volumes[0]) == 8


def test_mslub_by_its_provider_s_names(real_data, tmp_path):
  source = real_data / 'ms_t1_flair'
  folder = tmp_path / 'mslub/patient07'
  folder.mkdir(parents=True)
  scan = next(source.glob('sub-LJ07/anat/*_FLAIR.nii*'))
  suffix = ''.join(scan.suffixes)
  shutil.copy(scan, folder / f'patient07_FLAIR{suffix}')
  lesion = next(source.glob('derivatives/lesions/sub-LJ07/**/*_mask.nii*'))
  shutil.copy(lesion, folder / f'patient07_consensus_gt{suffix}')
  image = nib.load(scan)
  brain = (image.get_fdata() != image.get_fdata()[0, 0, 0]).astype(np.uint8)
  nib.save(nib.Nifti1Image(brain, image.affine), folder / 'patient07_brainmask.nii.gz')
  builder = catalogue.module('mslub').open_builder(
    tmp_path / 'data', source=tmp_path / 'mslub', contrast='flair', **SMALL
  )
  builder.download_and_prepare()
  slices = records(builder)
  assert {r['pathology'] for r in slices} == {b'ms'}
  # The lesions keep their volume, in the scan's own ml.
  details = json.loads(slices[0]['details'])
  to_mm = np.array(details['to_scan']) @ slices[0]['affine']
  volume = sum(r['lesion'].sum() for r in slices) * abs(np.linalg.det(to_mm[:3, :3]))
  native = nib.load(lesion)
  truth = (native.get_fdata() > 0).sum() * abs(np.linalg.det(native.affine[:3, :3]))
  assert 0.7 < volume / truth < 1.3
  steps = {s['step']: s for s in details['chain'][1:]}
  assert steps['brain_mask']['by'] == 'given' and 'affine' in steps
