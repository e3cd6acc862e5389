"""TFDS builder of BraTS: MRI of glioma in four contrasts with tumour masks.

The contrasts of a scan are co-registered and skull-stripped. Several releases of the
data set can be read.
"""

import functools

from uad_jax.data.cohorts import cohort_builder, people
from uad_jax.data.cohorts.cohort import Cohort, Download, Tree
from uad_jax.data.cohorts.layout import Layout

TUMOUR = (1, 2, 3, 4)
"""Label values of the segmentation that count as lesion: the whole tumour."""

CONTRASTS = {'t1': 't1', 't1ce': 't1ce', 't2': 't2', 'flair': 'flair'}
"""From a contrast to its spelling in most releases."""

AGES = {
  '**/survival_data.csv': 'Brats18ID',
  '**/survival_info.csv': 'Brats20ID',
}
"""Glob patterns of the tables of ages, with their columns of subjects."""


def read_people(root):
  """Reads the subjects' ages from the survival table of BraTS 2018 or 2020, if present.

  Args:
    root: Source folder, with the table at any depth.

  Returns:
    Function from a scan to the facts about its subject, see `people.Lookup`.
  """
  for pattern, subject in AGES.items():
    if people.load(root, pattern) is not None:
      return people.reader(pattern, subject, {'age': 'Age'})(root)
  return people.no_table(root)


def layout(folder: str, image: str, lesion: str, subject: str, session: str = ''):
  """Returns the patterns that find the images and segmentations of a BraTS release.

  Each scan of the release has its own folder.

  Args:
    folder: Glob pattern of the folders of the scans.
    image: Glob pattern of the file name of an image.
    lesion: Glob pattern of the file name of a segmentation.
    subject: Regular expression whose group is the subject.
    session: Regular expression whose group is the session; '' without sessions.
  """
  return Layout(
    f'**/{folder}/{image}',
    lesion=f'**/{folder}/{lesion}',
    subject=subject,
    session=session,
    lesion_values=TUMOUR,
  )


COHORT = Cohort(
  name='brats',
  title='BraTS, multi-institutional glioma with tumour masks',
  paper='Menze et al., IEEE TMI 34(10), 2015; Baid et al., arXiv 2107.02314, 2021',
  homepage='https://www.synapse.org/brats',
  licence='CC BY 4.0 (MSD: CC BY-SA 4.0)',
  tesla='1.5, 3',
  subjects=1251,
  healthy=False,
  pathology='tumour',
  access='Register and download the training data; Task01 of MSD also by --download.',
  trees=(
    Tree(
      '2018',
      layout(
        'Brats18_*',
        'Brats18_*_{contrast}.nii*',
        'Brats18_*_seg.nii*',
        r'(Brats18_[^/]+)/',
      ),
      CONTRASTS,
      """
      MICCAI_BraTS_2018_Data_Training/survival_data.csv
      MICCAI_BraTS_2018_Data_Training/HGG/Brats18_2013_10_1/Brats18_2013_10_1_t1.nii.gz (t1ce, t2, flair, seg)
      """,  # noqa: E501
    ),
    Tree(
      '2020',
      # The mask of subject 355 is W39_1998.09.19_Segm.nii.
      layout(
        'BraTS20_Training_*',
        'BraTS20_Training_*_{contrast}.nii*',
        '*[Ss]eg*.nii*',
        r'(BraTS20_Training_\d+)/',
      ),
      CONTRASTS,
      """
      MICCAI_BraTS2020_TrainingData/survival_info.csv
      MICCAI_BraTS2020_TrainingData/BraTS20_Training_001/BraTS20_Training_001_t1.nii (t1ce, t2, flair, seg)
      """,  # noqa: E501
    ),
    Tree(
      '2021',
      layout(
        'BraTS2021_*',
        'BraTS2021_*_{contrast}.nii*',
        'BraTS2021_*_seg.nii*',
        r'(BraTS2021_\d+)/',
      ),
      CONTRASTS,
      """
      BraTS2021_00000/BraTS2021_00000_t1.nii.gz (t1ce, t2, flair, seg)
      """,
    ),
    Tree(
      '2023',
      layout(
        'BraTS-GLI-*',
        'BraTS-GLI-*-{contrast}.nii*',
        'BraTS-GLI-*-seg.nii*',
        r'(BraTS-GLI-\d+)-\d+/',
        r'BraTS-GLI-\d+-(\d+)/',
      ),
      {'t1': 't1n', 't1ce': 't1c', 't2': 't2w', 'flair': 't2f'},
      """
      ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData/BraTS-GLI-00000-000/BraTS-GLI-00000-000-t1n.nii.gz (t1c, t2w, t2f, seg)
      """,  # noqa: E501
    ),
    Tree(
      'msd',
      Layout(
        '**/imagesTr/BRATS_*.nii*',
        lesion='**/labelsTr/BRATS_*.nii*',
        subject=r'(BRATS_\d+)',
        session='',
        lesion_values=TUMOUR,
      ),
      CONTRASTS,
      """
      Task01_BrainTumour/imagesTr/BRATS_001.nii.gz (4-D: FLAIR, T1, T1ce, T2)
      Task01_BrainTumour/labelsTr/BRATS_001.nii.gz
      """,
      channels={'flair': 0, 't1': 1, 't1ce': 2, 't2': 3},
    ),
  ),
  people=read_people,
  downloads={
    '': Download(
      'https://msd-for-monai.s3-us-west-2.amazonaws.com/Task01_BrainTumour.tar',
      '240a19d752f0d9e9101544901065d872',
    )
  },
)


class Builder(cohort_builder.CohortBuilder):
  """TFDS builder of the BraTS data set (MRI of glioma)."""

  COHORT = COHORT


open_builder = functools.partial(cohort_builder.open_builder, Builder)
