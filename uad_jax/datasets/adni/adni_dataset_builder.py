"""TFDS builder of ADNI: T1 and FLAIR MRI of normal ageing and dementia.

The subjects are cognitively normal, or have mild cognitive impairment or dementia.
"""

import functools
import re

from uad_jax.data.cohorts import cohort_builder, people
from uad_jax.data.cohorts.cohort import Cohort, Tree
from uad_jax.data.cohorts.layout import Layout

NORMAL = ('CN', 'NL')
"""Groups of cognitively normal subjects."""


def read_people(root):
  """Reads age, sex and diagnosis of each scan from the list of a LONI collection.

  The list (CSV) comes with the download. Subjects of the groups 'CN' and 'NL'
  (cognitively normal) are healthy.

  Args:
    root: Source folder, with the list at any depth.

  Returns:
    Function from a scan to the facts about its subject, see `people.Lookup`.
  """
  pattern, rows = '**/*.csv', {}
  table = people.load(root, pattern, 'the list of the collection with the groups')
  names = ('Image Data ID', 'Group', 'Sex', 'Age')
  columns = [people.column(table, name, pattern) for name in names]
  for image, group, sex, age in zip(*columns, strict=True):
    pathology = 'none' if group in NORMAL else group.lower() or 'unknown'
    row = {'age': age, 'sex': sex, 'diagnosis': group, 'pathology': pathology}
    rows[image.lstrip('I')] = row

  def lookup(entry):
    image = re.search(r'_I(\d+)\.', entry.image)
    return rows.get(image[1] if image else '', {'pathology': 'unknown'})

  return lookup


COHORT = Cohort(
  name='adni',
  title="ADNI, Alzheimer's disease neuroimaging initiative",
  paper='Jack et al., Journal of Magnetic Resonance Imaging 27(4), 2008',
  homepage='https://adni.loni.usc.edu/data-samples/adni-data/',
  licence='ADNI data use agreement',
  tesla='1.5, 3',
  subjects=2300,
  healthy=True,
  access='Apply; make a collection at LONI, download it as NIfTI with its list (CSV).',
  trees=(
    Tree(
      'loni',
      Layout(
        '**/ADNI_*_S_*_MR_*.nii*',
        subject=r'ADNI_(\d{3}_S_\d{4})_',
        session=r'/(\d{4}-\d{2}-\d{2})_',
        name=r'{contrast}',
        several='first',
      ),
      {'t1': 'MP-?RAGE|SPGR|_MT1_', 'flair': 'FLAIR'},
      """
      collection_4_18_2026.csv
      ADNI/002_S_0295/MP-RAGE/2006-04-18_08_20_30.0/S13408/ADNI_002_S_0295_MR_MP-RAGE_br_raw_20060418193713091_1_S13408_I13722.nii
      """,  # noqa: E501
    ),
  ),
  people=read_people,
)


class Builder(cohort_builder.CohortBuilder):
  """TFDS builder of the ADNI data set (Alzheimer's disease neuroimaging)."""

  COHORT = COHORT


open_builder = functools.partial(cohort_builder.open_builder, Builder)
