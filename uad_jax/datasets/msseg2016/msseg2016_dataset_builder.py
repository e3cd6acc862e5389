"""TFDS builder of MSSEG 2016: MRI of multiple sclerosis with lesion masks.

The scans come from four scanners; the lesion masks are the consensus of seven raters.
"""

import functools

from uad_jax.data.cohorts import cohort_builder
from uad_jax.data.cohorts.cohort import Cohort, Tree
from uad_jax.data.cohorts.layout import Layout

COHORT = Cohort(
  name='msseg2016',
  title='MSSEG 2016, multiple sclerosis, four scanners of three makers',
  paper='Commowick et al., Scientific Reports 8:13650, 2018; NeuroImage 244, 2021',
  homepage='https://shanoir.irisa.fr/shanoir-ng/challenge-request',
  licence='on application (OFSEP)',
  tesla='1.5, 3',
  subjects=53,
  healthy=False,
  pathology='ms',
  access='Apply at Shanoir.',
  trees=(
    Tree(
      'shanoir',
      Layout(
        '**/Preprocessed_Data/{contrast}_preprocessed.nii*',
        mask='**/Masks/Brain_Mask.nii*',
        lesion='**/Masks/Consensus.nii*',
        subject=r'(Center_\d+)/(Patient_\d+)/',
        session='',
      ),
      {'t1': 'T1', 't2': 'T2', 'pd': 'DP', 'flair': 'FLAIR', 't1ce': 'GADO'},
      """
      Training/Center_01/Patient_01/Preprocessed_Data/FLAIR_preprocessed.nii.gz (T1, T2, DP, GADO)
      Training/Center_01/Patient_01/Masks/Brain_Mask.nii.gz
      Training/Center_01/Patient_01/Masks/Consensus.nii.gz
      """,  # noqa: E501
    ),
  ),
  site=r'Center_(\d+)/',
)


class Builder(cohort_builder.CohortBuilder):
  """TFDS builder of the MSSEG 2016 data set (MRI of multiple sclerosis)."""

  COHORT = COHORT


open_builder = functools.partial(cohort_builder.open_builder, Builder)
