"""TFDS builder of fastMRI+: clinical brain MRI with bounding boxes of findings."""

import functools

from uad_jax.data.cohorts import cohort_builder, fastmri
from uad_jax.data.cohorts.cohort import Cohort, Tree
from uad_jax.data.cohorts.layout import Layout

SPELLED = {'t1': 'AXT1', 't1ce': 'AXT1POST', 't2': 'AXT2', 'flair': 'AXFLAIR'}
"""From a contrast to its spelling in the file names."""


def search(root, contrast):
  """Finds the fastMRI scans of one contrast that fastMRI+ annotates in brain.csv.

  Args:
    root: Folder with the fastMRI files and brain.csv.
    contrast: Key of `SPELLED`, such as 'flair'.
  """
  return fastmri.find(root, contrast, SPELLED[contrast])


COHORT = Cohort(
  name='fastmri_plus',
  title='fastMRI+, clinical brain scans with bounding boxes of thirty findings',
  paper='Zhao et al., Scientific Data 9:152, 2022; Zbontar et al., arXiv 1811.08839',
  homepage='https://fastmri.med.nyu.edu/',
  licence='fastMRI agreement; boxes MIT',
  tesla='1.5, 3',
  subjects=1001,
  healthy=True,
  access='Apply for the brain data; brain.csv is at github.com/microsoft/fastmri-plus.',
  trees=(
    Tree(
      'h5',
      Layout('**/file_brain_{contrast}_*.h5', subject='', session='', table=''),
      SPELLED,
      """
      brain.csv
      multicoil_train/file_brain_AXFLAIR_200_6002425.h5
      """,
    ),
  ),
  search=search,
)


class Builder(cohort_builder.CohortBuilder):
  """TFDS builder of the fastMRI+ data set (clinical brain MRI)."""

  COHORT = COHORT


open_builder = functools.partial(cohort_builder.open_builder, Builder)
