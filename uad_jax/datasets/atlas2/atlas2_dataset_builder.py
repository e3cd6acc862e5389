"""TFDS builder of ATLAS 2.0: T1 MRI of chronic stroke with lesion masks.

The scans come from many sites and are in MNI space.
"""

import functools

from uad_jax.data.cohorts import cohort_builder
from uad_jax.data.cohorts.cohort import Cohort, Tree
from uad_jax.data.cohorts.layout import Layout

COHORT = Cohort(
  name='atlas2',
  title='ATLAS 2.0, chronic stroke, T1 of many sites with lesion masks',
  paper='Liew et al., Scientific Data 9:320, 2022',
  homepage='https://fcon_1000.projects.nitrc.org/indi/retro/atlas.html',
  licence='CC BY 4.0, by an agreement',
  tesla='1.5, 3',
  subjects=655,
  healthy=False,
  pathology='stroke',
  access='Apply for the key; give the folder Training, whose masks are public.',
  trees=(
    Tree(
      'training',
      Layout(
        '**/R*/sub-r*/ses-*/anat/*_T1w.nii*',
        lesion='**/R*/sub-r*/ses-*/anat/*_label-L_desc-T1lesion_mask.nii*',
        subject=r'(sub-r\d+s\d+)',
      ),
      {'t1': 'T1w'},
      """
      Training/R001/sub-r001s001/ses-1/anat/sub-r001s001_ses-1_space-MNI152NLin2009aSym_T1w.nii.gz
      Training/R001/sub-r001s001/ses-1/anat/sub-r001s001_ses-1_space-MNI152NLin2009aSym_label-L_desc-T1lesion_mask.nii.gz
      """,  # noqa: E501
    ),
  ),
  site=r'/(R\d+)/',
)


class Builder(cohort_builder.CohortBuilder):
  """TFDS builder of the ATLAS 2.0 data set (MRI of chronic stroke)."""

  COHORT = COHORT


open_builder = functools.partial(cohort_builder.open_builder, Builder)
