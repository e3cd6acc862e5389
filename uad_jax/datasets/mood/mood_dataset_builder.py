"""TFDS builder of MOOD: T2 MRI of healthy brains, some with synthetic anomalies.

The synthetic anomalies are in the toy examples of the challenge.
"""

import functools

from uad_jax.data.cohorts import cohort_builder
from uad_jax.data.cohorts.cohort import Cohort, Tree
from uad_jax.data.cohorts.layout import Layout

COHORT = Cohort(
  name='mood',
  title='MOOD, brains without and toys with synthetic anomalies',
  paper='Zimmerer et al., IEEE TMI 41(10):2728-2738, 2022',
  homepage='https://www.synapse.org/mood',
  licence='CC BY-NC-SA, on registration',
  tesla='3',
  subjects=800,
  healthy=True,
  access='Register and download brain_train and toy.',
  together=True,
  trees=(
    Tree(
      'train',
      Layout(
        '**/brain_train/**/[0-9]*.nii*', subject=r'(\d+)\.nii', session='', table=''
      ),
      {'t2': ''},
      """
      brain/brain_train/00000.nii.gz
      """,
    ),
    Tree(
      'toy',
      Layout(
        '**/toy/**/*.nii*',
        lesion='**/toy_label/pixel/**/*.nii*',
        subject=r'([^/]+)\.nii',
        session='',
        table='',
      ),
      {'t2': ''},
      """
      brain/toy/toy_0.nii.gz
      brain/toy_label/pixel/toy_0.nii.gz
      """,
    ),
  ),
  pathology='synthetic',
)


class Builder(cohort_builder.CohortBuilder):
  """TFDS builder of the MOOD data set (healthy brains and synthetic anomalies)."""

  COHORT = COHORT


open_builder = functools.partial(cohort_builder.open_builder, Builder)
