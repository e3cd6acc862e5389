"""TFDS builder of the ISBI 2015 challenge: longitudinal MRI of multiple sclerosis.

The patients were scanned at 3 T in four contrasts; the lesion masks are those of the
first of two raters.
"""

import functools

from uad_jax.data.cohorts import cohort_builder
from uad_jax.data.cohorts.cohort import Cohort, Tree
from uad_jax.data.cohorts.layout import Layout

COHORT = Cohort(
  name='msisbi2015',
  title='ISBI 2015 longitudinal MS lesion challenge, five patients over 4 to 5 visits',
  paper='Carass et al., NeuroImage 148:77-102, 2017',
  homepage='https://smart-stats-tools.org/lesion-challenge',
  licence='on registration',
  tesla='3',
  subjects=5,
  healthy=False,
  pathology='ms',
  access='Register and download the training data; masks are those of the first rater.',
  trees=(
    Tree(
      'training',
      Layout(
        '**/preprocessed/training*_{contrast}_pp.nii*',
        lesion='**/masks/training*_mask1.nii*',
        subject=r'(training\d+)_\d+_',
        session=r'training\d+_(\d+)_',
      ),
      {'t1': 'mprage', 't2': 't2', 'pd': 'pd', 'flair': 'flair'},
      """
      training/training01/preprocessed/training01_01_mprage_pp.nii (t2, pd, flair)
      training/training01/masks/training01_01_mask1.nii
      """,
    ),
  ),
)


class Builder(cohort_builder.CohortBuilder):
  """TFDS builder of the ISBI 2015 challenge on lesions of multiple sclerosis."""

  COHORT = COHORT


open_builder = functools.partial(cohort_builder.open_builder, Builder)
