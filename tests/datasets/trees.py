"""Miniatures of the providers' trees: names, folders, headers and usual accidents."""

import csv
import functools
import pathlib

import nibabel as nib
import numpy as np

from tests.data.heads import head, write

ISMRMRD = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding><reconSpace>
<matrixSize><x>{0}</x><y>{1}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{2}</x><y>{3}</y><z>7.5</z></fieldOfView_mm>
</reconSpace></encoding></ismrmrdHeader>"""


@functools.cache
def brain():
  """A stripped brain [X, Y, Z], its grid and a lesion in its white matter."""
  image, labels, affine = head(spacing=8.0, shape=(30, 26, 25))
  lesion = np.zeros(image.shape, np.uint8)
  inside = np.argwhere(labels > 0)
  at = inside[np.argmin(np.abs(inside - inside.mean(0)).sum(1))] + (0, 3, 3)
  lesion[tuple(slice(v - 1, v + 2) for v in at)] = 1
  return np.where(labels > 0, image, 0).astype(np.float32), affine, lesion, labels


def scan(path, seed=0, dtype=np.float32, ripple=False, affine=None):
  """A subject's scan; `ripple` leaves tiny negative values, as interpolation does."""
  image, own, _, _ = brain()
  random = np.random.default_rng(seed)
  image = image * random.uniform(0.8, 1.2) + 20 * random.normal(size=image.shape) * (
    image > 0
  )
  image = np.maximum(image, 0)
  if ripple:
    image = np.where(image > 0, image, -1e-3 * random.random(image.shape))
  return write(path, image.astype(dtype), own if affine is None else affine)


def lesion(path, value=1, of=None, affine=None):
  """A lesion mask; `of` sets further numbers beside `value`."""
  _, own, mask, _ = brain()
  labels = (mask * value).astype(np.uint8)
  if of is not None:
    x, y, z = np.argwhere(mask)[0]
    labels[x, y, z] = of
  return write(path, labels, own if affine is None else affine)


def brain_mask(path):
  """The brain mask."""
  _, affine, _, labels = brain()
  return write(path, (labels > 0).astype(np.uint8), affine)


def analyze(path, data):
  """An Analyze pair, with a fourth axis of one as OASIS-1 has."""
  path.parent.mkdir(parents=True, exist_ok=True)
  image = nib.Spm2AnalyzeImage(data[..., None], None)
  image.header.set_zooms((8.0, 8.0, 8.0, 1.0))
  nib.save(image, path)


def rows(path, head_, *lines, delimiter=','):
  """A table."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with path.open('w', newline='') as file:
    csv.writer(file, delimiter=delimiter).writerows([head_, *lines])


def ixi(root: pathlib.Path):
  for n, site in ((2, 'Guys'), (12, 'HH'), (35, 'IOP'), (49, 'HH')):
    suffix = '.nii' if n == 12 else '.nii.gz'
    scan(root / f'IXI-T1/IXI{n:03d}-{site}-1{n:03d}-T1{suffix}', n, np.uint16)
  scan(root / 'IXI-T2/IXI002-Guys-1002-T2.nii.gz', 2)
  scan(root / 'IXI-T2/IXI099-Guys-1099-T2.nii.gz', 3)
  rows(
    root / 'IXI.csv',
    ('IXI_ID', 'SEX_ID (1=m, 2=f)', 'AGE'),
    (2, 2, 35.8),
    (12, 1, 38.78),
    (12, 1, ''),  # stands twice in the provider's table
    (49, 2, 60.1),
  )


def camcan(root):
  for n in (110033, 110037, 110045):
    scan(root / f'anat/sub-CC{n}/anat/sub-CC{n}_T1w.nii.gz', n, ripple=n == 110037)
    scan(root / f'anat/sub-CC{n}/anat/sub-CC{n}_T2w.nii.gz', n + 1)
  rows(
    root / 'anat/participants.tsv',
    ('participant_id', 'age', 'hand', 'gender_code'),
    ('CC110033', 24, 100, 1),
    ('sub-CC110037', 18, 50, 2),
    delimiter='\t',
  )


def oasis1(root):
  image, _, _, labels = brain()
  # Subject, session, disc.
  for name, disc in (
    ('OAS1_0001_MR1', 1), ('OAS1_0002_MR1', 1), ('OAS1_0003_MR1', 2),
    ('OAS1_0061_MR1', 2), ('OAS1_0061_MR2', 2),
  ):  # fmt: skip
    stem = f'{name}_mpr_n4_anon_111_t88_masked_gfc'
    folder = root / f'disc{disc}/{name}'
    data = image.astype(np.int16)
    analyze(folder / f'PROCESSED/MPRAGE/T88_111/{stem}.img', data)
    analyze(folder / f'FSL_SEG/{stem}_fseg.img', (labels > 0).astype(np.uint8) * 2)
  rows(
    root / 'oasis_cross-sectional.csv',
    ('ID', 'M/F', 'Hand', 'Age', 'CDR'),
    ('OAS1_0001_MR1', 'F', 'R', 74, 0),
    ('OAS1_0002_MR1', 'M', 'R', 80, 0.5),
    ('OAS1_0003_MR1', 'F', 'R', 73, ''),
    ('OAS1_0061_MR1', 'F', 'R', 20, ''),
    ('OAS1_0061_MR2', 'F', 'R', 20, ''),
  )


def oasis3(root):
  def place(subject, day, run, kind='T1w'):
    name = f'sub-{subject}_ses-{day}_run-{run:02d}_{kind}.nii.gz'
    return root / f'{subject}_MR_{day}/anat{run}/{name}'

  scan(place('OAS30001', 'd0129', 1), 1)
  scan(place('OAS30001', 'd0129', 2), 2)
  scan(place('OAS30001', 'd3132', 1), 3)
  scan(place('OAS30002', 'd0371', 1), 4)
  scan(place('OAS30003', 'd0100', 1), 5)
  scan(place('OAS30001', 'd0129', 1, 'FLAIR'), 6)
  rows(
    root / 'OASIS3_UDSb4_cdr.csv',
    ('OASISID', 'OASIS_session_label', 'days_to_visit', 'age at visit', 'CDRTOT'),
    ('OAS30001', 'OAS30001_UDSb4_d0000', '0000', 65.2, 0),
    ('OAS30001', 'OAS30001_UDSb4_d3000', '3000', 73.4, 0),
    ('OAS30002', 'OAS30002_UDSb4_d0000', '0000', 67.2, 0),
    ('OAS30002', 'OAS30002_UDSb4_d0400', '0400', 68.3, 0.5),
  )
  rows(
    root / 'OASIS3_demographics.csv',
    ('OASISID', 'GENDER'),
    ('OAS30001', 2),
    ('OAS30002', 1),
  )


def adni(root):
  def place(subject, kind, date, series, image):
    folder = root / f'ADNI/{subject}/{kind}/{date}_08_20_30.0/S{series}'
    return folder / f'ADNI_{subject}_MR_{kind}_br_raw_2006_S{series}_I{image}.nii'

  scan(place('002_S_0295', 'MP-RAGE', '2006-04-18', 13408, 13722), 1)
  scan(place('002_S_0295', 'MP-RAGE', '2006-11-02', 21856, 28560), 2)
  scan(place('002_S_0413', 'MPRAGE', '2006-05-02', 13893, 14437), 3)
  scan(place('003_S_0907', 'MP-RAGE', '2006-09-11', 19096, 23931), 4)
  scan(place('003_S_0907', 'Axial_FLAIR', '2006-09-11', 19097, 23932), 5)
  rows(
    root / 'collection_4_18_2026.csv',
    ('Image Data ID', 'Subject', 'Group', 'Sex', 'Age'),
    ('I13722', '002_S_0295', 'CN', 'M', 85),
    ('I28560', '002_S_0295', 'CN', 'M', 85),
    ('I14437', '002_S_0413', 'MCI', 'F', 76),
    ('I23931', '003_S_0907', 'CN', 'F', 89),
  )


CONTRASTS = ('t1', 't1ce', 't2', 'flair')


def _tumour(root, folder, name, contrasts, joint='_', suffix='.nii.gz', seg=None):
  for n, contrast in enumerate(contrasts):
    scan(root / folder / name / f'{name}{joint}{contrast}{suffix}', n, np.int16)
  seg = seg or f'{name}{joint}seg{suffix}'
  lesion(root / folder / name / seg, 1, of=4)


def brats_2018(root):
  for name in ('Brats18_2013_10_1', 'Brats18_TCIA08_167_1', 'Brats18_CBICA_AAB_1'):
    _tumour(root / 'MICCAI_BraTS_2018_Data_Training', 'HGG', name, CONTRASTS)
  rows(
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
  image, affine, _, _ = brain()
  for name in ('BRATS_001', 'BRATS_002'):
    stack = np.stack([image * (n + 1) for n in range(4)], -1)
    write(root / f'Task01_BrainTumour/imagesTr/{name}.nii.gz', stack, affine)
    lesion(root / f'Task01_BrainTumour/labelsTr/{name}.nii.gz', 2, of=3)
  shadow = root / 'Task01_BrainTumour/imagesTr/._BRATS_001.nii.gz'
  shadow.write_bytes(b'Mac OS X')


def mslub(root):
  for n in (1, 2, 3):
    folder = root / f'patient{n:02d}'
    for m, name in enumerate(('T1W', 'T2W', 'T1WKS', 'FLAIR')):
      scan(folder / f'patient{n:02d}_{name}.nii.gz', 10 * n + m)
      scan(folder / f'raw/patient{n:02d}_{name}.nii.gz', 10 * n + m)
    brain_mask(folder / f'patient{n:02d}_brainmask.nii.gz')
    lesion(folder / f'patient{n:02d}_consensus_gt.nii.gz')


def msisbi2015(root):
  for name in ('training01_01', 'training01_02', 'training02_01'):
    folder = root / 'training' / name[:10]
    for n, kind in enumerate(('mprage', 't2', 'pd', 'flair')):
      scan(folder / f'preprocessed/{name}_{kind}_pp.nii', n)
    lesion(folder / f'masks/{name}_mask1.nii')
    lesion(folder / f'masks/{name}_mask2.nii')


def msseg2016(root):
  for place in ('Training/Center_01/Patient_01', 'Testing/Center_03/Patient_01'):
    folder = root / place
    for n, kind in enumerate(('T1', 'T2', 'DP', 'FLAIR', 'GADO')):
      scan(folder / f'Preprocessed_Data/{kind}_preprocessed.nii.gz', n)
      scan(folder / f'Raw_Data/{kind}.nii.gz', n)
    brain_mask(folder / 'Masks/Brain_Mask.nii.gz')
    lesion(folder / 'Masks/Consensus.nii.gz')
    lesion(folder / 'Masks/ManualSegmentation_1.nii.gz')


def wmh(root):
  for n, place in enumerate(('Utrecht/0', 'Singapore/50', 'Amsterdam/GE3T/100')):
    folder = root / 'training' / place
    scan(folder / 'pre/FLAIR.nii.gz', n)
    scan(folder / 'pre/T1.nii.gz', n)
    scan(folder / 'pre/3DT1.nii.gz', n)
    scan(folder / 'orig/FLAIR.nii.gz', n)
    lesion(folder / 'wmh.nii.gz', 1, of=2)


def atlas2(root):
  for site, name in (('R001', 'sub-r001s001'), ('R009', 'sub-r009s002')):
    stem = f'{name}_ses-1_space-MNI152NLin2009aSym'
    folder = root / f'Training/{site}/{name}/ses-1/anat'
    scan(folder / f'{stem}_T1w.nii.gz', len(site))
    lesion(folder / f'{stem}_label-L_desc-T1lesion_mask.nii.gz')


def mood(root):
  for n in range(3):
    scan(root / f'brain/brain_train/{n:05d}.nii.gz', n)
  scan(root / 'brain/toy/toy_0.nii.gz', 8)
  lesion(root / 'brain/toy_label/pixel/toy_0.nii.gz')


def fastmri_plus(root):
  import h5py

  image, _, _, _ = brain()
  stack = np.transpose(np.asarray(image), (1, 2, 0))  # any order will do: [slice, r, c]
  for name in ('AXFLAIR_200_6002425', 'AXFLAIR_200_6002441', 'AXFLAIR_201_6002900'):
    path = root / f'multicoil_train/file_brain_{name}.h5'
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, 'w') as file:
      file['reconstruction_rss'] = stack.astype(np.float32)
      sizes = (*stack.shape[:0:-1], 8 * stack.shape[2], 8 * stack.shape[1])
      file['ismrmrd_header'] = ISMRMRD.format(*sizes)
  rows(
    root / 'brain.csv',
    ('file', 'slice', 'study_level', 'x', 'y', 'width', 'height', 'label'),
    ('file_brain_AXFLAIR_200_6002425', 12, 'No', 10, 8, 4, 3, 'Nonspecific lesion'),
    ('file_brain_AXFLAIR_200_6002441', '', 'Yes', '', '', '', '', 'Normal for age'),
  )
