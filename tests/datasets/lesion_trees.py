"""Miniature file trees of the cohorts of patients: names, folders, lesion masks.

Each function writes one tree and has the name of the cohort, and of its release.
"""

import numpy as np

from tests.data.heads import write
from tests.datasets import tree_files as files

CONTRASTS = ('t1', 't1ce', 't2', 'flair')


def _tumour(root, folder, name, contrasts, joint='_', suffix='.nii.gz', seg=None):
  for n, contrast in enumerate(contrasts):
    files.scan(root / folder / name / f'{name}{joint}{contrast}{suffix}', n, np.int16)
  seg = seg or f'{name}{joint}seg{suffix}'
  files.lesion(root / folder / name / seg, 1, other=4)


def brats_2018(root):
  for name in ('Brats18_2013_10_1', 'Brats18_TCIA08_167_1', 'Brats18_CBICA_AAB_1'):
    _tumour(root / 'MICCAI_BraTS_2018_Data_Training', 'HGG', name, CONTRASTS)
  files.table(
    root / 'MICCAI_BraTS_2018_Data_Training/survival_data.csv',
    ('Brats18ID', 'Age', 'Survival'),
    ('Brats18_TCIA08_167_1', 74.907, 153),
  )


def brats_2020(root):
  for number in (1, 2, 355):
    name = f'BraTS20_Training_{number:03d}'
    seg = 'W39_1998.09.19_Segm.nii' if number == 355 else None
    _tumour(root, 'MICCAI_BraTS2020_TrainingData', name, CONTRASTS, '_', '.nii', seg)
  (root / 'MICCAI_BraTS2020_TrainingData/BraTS20_Training_002').joinpath(
    'BraTS20_Training_002_flair.nii'
  ).unlink()


def brats_2021(root):
  for name in ('BraTS2021_00000', 'BraTS2021_00002'):
    _tumour(root, '', name, CONTRASTS)


def brats_2023(root):
  for name in ('BraTS-GLI-00000-000', 'BraTS-GLI-00000-001', 'BraTS-GLI-00002-000'):
    _tumour(root, 'training', name, ('t1n', 't1c', 't2w', 't2f'), '-')


def brats_msd(root):
  image, affine, _, _ = files.brain()
  for name in ('BRATS_001', 'BRATS_002'):
    stack = np.stack([image * (n + 1) for n in range(4)], -1)
    write(root / f'Task01_BrainTumour/imagesTr/{name}.nii.gz', stack, affine)
    files.lesion(root / f'Task01_BrainTumour/labelsTr/{name}.nii.gz', 2, other=3)
  shadow = root / 'Task01_BrainTumour/imagesTr/._BRATS_001.nii.gz'
  shadow.write_bytes(b'Mac OS X')


def mslub(root):
  for n in (1, 2, 3):
    folder = root / f'patient{n:02d}'
    for m, name in enumerate(('T1W', 'T2W', 'T1WKS', 'FLAIR')):
      files.scan(folder / f'patient{n:02d}_{name}.nii.gz', 10 * n + m)
      files.scan(folder / f'raw/patient{n:02d}_{name}.nii.gz', 10 * n + m)
    files.brain_mask(folder / f'patient{n:02d}_brainmask.nii.gz')
    files.lesion(folder / f'patient{n:02d}_consensus_gt.nii.gz')


def msisbi2015(root):
  for name in ('training01_01', 'training01_02', 'training02_01'):
    folder = root / 'training' / name[:10]
    for n, kind in enumerate(('mprage', 't2', 'pd', 'flair')):
      files.scan(folder / f'preprocessed/{name}_{kind}_pp.nii', n)
    files.lesion(folder / f'masks/{name}_mask1.nii')
    files.lesion(folder / f'masks/{name}_mask2.nii')


def msseg2016(root):
  for place in ('Training/Center_01/Patient_01', 'Testing/Center_03/Patient_01'):
    folder = root / place
    for n, kind in enumerate(('T1', 'T2', 'DP', 'FLAIR', 'GADO')):
      files.scan(folder / f'Preprocessed_Data/{kind}_preprocessed.nii.gz', n)
      files.scan(folder / f'Raw_Data/{kind}.nii.gz', n)
    files.brain_mask(folder / 'Masks/Brain_Mask.nii.gz')
    files.lesion(folder / 'Masks/Consensus.nii.gz')
    files.lesion(folder / 'Masks/ManualSegmentation_1.nii.gz')


def wmh(root):
  for n, place in enumerate(('Utrecht/0', 'Singapore/50', 'Amsterdam/GE3T/100')):
    folder = root / 'training' / place
    files.scan(folder / 'pre/FLAIR.nii.gz', n)
    files.scan(folder / 'pre/T1.nii.gz', n)
    files.scan(folder / 'pre/3DT1.nii.gz', n)
    files.scan(folder / 'orig/FLAIR.nii.gz', n)
    files.lesion(folder / 'wmh.nii.gz', 1, other=2)


def atlas2(root):
  for site, name in (('R001', 'sub-r001s001'), ('R009', 'sub-r009s002')):
    stem = f'{name}_ses-1_space-MNI152NLin2009aSym'
    folder = root / f'Training/{site}/{name}/ses-1/anat'
    files.scan(folder / f'{stem}_T1w.nii.gz', len(site))
    files.lesion(folder / f'{stem}_label-L_desc-T1lesion_mask.nii.gz')
