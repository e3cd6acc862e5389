"""Miniature file trees of the healthy cohorts: names, folders, common irregularities.

Each function writes one tree and has the name of the cohort.
"""

import pathlib

import numpy as np

from tests.datasets import tree_files as files

ISMRMRD = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding><reconSpace>
<matrixSize><x>{0}</x><y>{1}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{2}</x><y>{3}</y><z>7.5</z></fieldOfView_mm>
</reconSpace></encoding></ismrmrdHeader>"""


def ixi(root: pathlib.Path):
  for n, site in ((2, 'Guys'), (12, 'HH'), (35, 'IOP'), (49, 'HH')):
    suffix = '.nii' if n == 12 else '.nii.gz'
    files.scan(root / f'IXI-T1/IXI{n:03d}-{site}-1{n:03d}-T1{suffix}', n, np.uint16)
  files.scan(root / 'IXI-T2/IXI002-Guys-1002-T2.nii.gz', 2)
  files.scan(root / 'IXI-T2/IXI099-Guys-1099-T2.nii.gz', 3)
  files.table(
    root / 'IXI.csv',
    ('IXI_ID', 'SEX_ID (1=m, 2=f)', 'AGE'),
    (2, 2, 35.8),
    (12, 1, 38.78),
    (12, 1, ''),  # is listed twice in the provider's table
    (49, 2, 60.1),
  )


def camcan(root):
  for n in (110033, 110037, 110045):
    folder = root / f'anat/sub-CC{n}/anat'
    files.scan(folder / f'sub-CC{n}_T1w.nii.gz', n, ripple=n == 110037)
    files.scan(folder / f'sub-CC{n}_T2w.nii.gz', n + 1)
  files.table(
    root / 'anat/participants.tsv',
    ('participant_id', 'age', 'hand', 'gender_code'),
    ('CC110033', 24, 100, 1),
    ('sub-CC110037', 18, 50, 2),
    delimiter='\t',
  )


def oasis1(root):
  image, _, _, labels = files.brain()
  # Subject, session, disc.
  for name, disc in (
    ('OAS1_0001_MR1', 1), ('OAS1_0002_MR1', 1), ('OAS1_0003_MR1', 2),
    ('OAS1_0061_MR1', 2), ('OAS1_0061_MR2', 2),
  ):  # fmt: skip
    stem = f'{name}_mpr_n4_anon_111_t88_masked_gfc'
    folder = root / f'disc{disc}/{name}'
    segmentation = (labels > 0).astype(np.uint8) * 2
    files.analyze(
      folder / f'PROCESSED/MPRAGE/T88_111/{stem}.img', image.astype(np.int16)
    )
    files.analyze(folder / f'FSL_SEG/{stem}_fseg.img', segmentation)
  files.table(
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

  files.scan(place('OAS30001', 'd0129', 1), 1)
  files.scan(place('OAS30001', 'd0129', 2), 2)
  files.scan(place('OAS30001', 'd3132', 1), 3)
  files.scan(place('OAS30002', 'd0371', 1), 4)
  files.scan(place('OAS30003', 'd0100', 1), 5)
  files.scan(place('OAS30001', 'd0129', 1, 'FLAIR'), 6)
  files.table(
    root / 'OASIS3_UDSb4_cdr.csv',
    ('OASISID', 'OASIS_session_label', 'days_to_visit', 'age at visit', 'CDRTOT'),
    ('OAS30001', 'OAS30001_UDSb4_d0000', '0000', 65.2, 0),
    ('OAS30001', 'OAS30001_UDSb4_d3000', '3000', 73.4, 0),
    ('OAS30002', 'OAS30002_UDSb4_d0000', '0000', 67.2, 0),
    ('OAS30002', 'OAS30002_UDSb4_d0400', '0400', 68.3, 0.5),
  )
  files.table(
    root / 'OASIS3_demographics.csv',
    ('OASISID', 'GENDER'),
    ('OAS30001', 2),
    ('OAS30002', 1),
  )


def adni(root):
  def place(subject, kind, date, series, image):
    folder = root / f'ADNI/{subject}/{kind}/{date}_08_20_30.0/S{series}'
    return folder / f'ADNI_{subject}_MR_{kind}_br_raw_2006_S{series}_I{image}.nii'

  files.scan(place('002_S_0295', 'MP-RAGE', '2006-04-18', 13408, 13722), 1)
  files.scan(place('002_S_0295', 'MP-RAGE', '2006-11-02', 21856, 28560), 2)
  files.scan(place('002_S_0413', 'MPRAGE', '2006-05-02', 13893, 14437), 3)
  files.scan(place('003_S_0907', 'MP-RAGE', '2006-09-11', 19096, 23931), 4)
  files.scan(place('003_S_0907', 'Axial_FLAIR', '2006-09-11', 19097, 23932), 5)
  files.table(
    root / 'collection_4_18_2026.csv',
    ('Image Data ID', 'Subject', 'Group', 'Sex', 'Age'),
    ('I13722', '002_S_0295', 'CN', 'M', 85),
    ('I28560', '002_S_0295', 'CN', 'M', 85),
    ('I14437', '002_S_0413', 'MCI', 'F', 76),
    ('I23931', '003_S_0907', 'CN', 'F', 89),
  )


def mood(root):
  for n in range(3):
    files.scan(root / f'brain/brain_train/{n:05d}.nii.gz', n)
  files.scan(root / 'brain/toy/toy_0.nii.gz', 8)
  files.lesion(root / 'brain/toy_label/pixel/toy_0.nii.gz')


def fastmri_plus(root):
  import h5py

  image, _, _, _ = files.brain()
  stack = np.transpose(np.asarray(image), (1, 2, 0))  # any order will do: [slice, r, c]
  for name in ('AXFLAIR_200_6002425', 'AXFLAIR_200_6002441', 'AXFLAIR_201_6002900'):
    path = root / f'multicoil_train/file_brain_{name}.h5'
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, 'w') as file:
      file['reconstruction_rss'] = stack.astype(np.float32)
      sizes = (*stack.shape[:0:-1], 8 * stack.shape[2], 8 * stack.shape[1])
      file['ismrmrd_header'] = ISMRMRD.format(*sizes)
  files.table(
    root / 'brain.csv',
    ('file', 'slice', 'study_level', 'x', 'y', 'width', 'height', 'label'),
    ('file_brain_AXFLAIR_200_6002425', 12, 'No', 10, 8, 4, 3, 'Nonspecific lesion'),
    ('file_brain_AXFLAIR_200_6002441', '', 'Yes', '', '', '', '', 'Normal for age'),
  )
