"""TFDS builder of MSLUB: MRI of multiple sclerosis with lesion masks.

The scans are T1, T1 with contrast agent, T2 and FLAIR at 3 T; the lesion masks are the
consensus of three raters.
"""

import functools

from uad_jax.data.cohorts import cohort_builder
from uad_jax.data.cohorts.cohort import Cohort, Tree
from uad_jax.data.cohorts.layout import Layout

COHORT = Cohort(
  name='mslub',
  title='MSLUB, thirty patients with multiple sclerosis, Ljubljana',
  paper='Lesjak et al., Neuroinformatics 16:51-63, 2018',
  homepage='https://lit.fe.uni-lj.si/en/research/resources/3D-MR-MS/',
  licence='CC BY 4.0',
  tesla='3',
  subjects=30,
  healthy=False,
  pathology='ms',
  access='Free to download after registration.',
  trees=(
    Tree(
      'lit',
      Layout(
        '**/patient*/*{contrast}.nii*',
        mask='**/patient*/*brainmask.nii*',
        lesion='**/patient*/*consensus_gt.nii*',
        subject=r'(patient\d+)/',
        session='',
      ),
      {'t1': 'T1W', 't2': 'T2W', 'flair': 'FLAIR', 't1ce': 'T1WKS'},
      """
      patient01/patient01_T1W.nii.gz (T2W, T1WKS, FLAIR)
      patient01/patient01_brainmask.nii.gz
      patient01/patient01_consensus_gt.nii.gz
      patient01/raw/ (not used)
      """,
    ),
  ),
)


class Builder(cohort_builder.CohortBuilder):
  """TFDS builder of the MSLUB data set (MRI of multiple sclerosis)."""

  COHORT = COHORT


open_builder = functools.partial(cohort_builder.open_builder, Builder)
