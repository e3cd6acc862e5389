"""TFDS builder of the WMH challenge: MRI of white matter hyperintensities.

The T1 and FLAIR scans come from five scanners.
"""

import functools

from uad_jax.data.cohorts import cohort_builder
from uad_jax.data.cohorts.cohort import Cohort, Tree
from uad_jax.data.cohorts.layout import Layout

COHORT = Cohort(
  name='wmh',
  title='WMH segmentation challenge, presumed vascular origin, five scanners',
  paper='Kuijf et al., IEEE TMI 38(11):2556-2568, 2019',
  homepage='https://doi.org/10.34894/AECRSD',
  licence='CC BY-NC 4.0',
  tesla='1.5, 3',
  subjects=170,
  healthy=False,
  pathology='wmh',
  access='Free to download; 2 in the masks is other pathology, not counted by default.',
  trees=(
    Tree(
      'dataverse',
      Layout(
        '**/pre/{contrast}.nii*',
        lesion='**/wmh.nii*',
        subject=r'(?:([^/]+)/)?(\d+)/(?:pre/|wmh)',
        session='',
        lesion_values=(1,),
      ),
      {'t1': 'T1', 'flair': 'FLAIR'},
      """
      training/Utrecht/0/pre/FLAIR.nii.gz (T1)
      training/Utrecht/0/wmh.nii.gz
      training/Amsterdam/GE3T/100/pre/FLAIR.nii.gz
      """,
    ),
  ),
  site=r'([^/]+)/\d+/pre/',
)


class Builder(cohort_builder.CohortBuilder):
  """TFDS builder of the WMH segmentation challenge (white matter hyperintensities)."""

  COHORT = COHORT


open_builder = functools.partial(cohort_builder.open_builder, Builder)
