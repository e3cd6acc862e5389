"""TFDS builder of OASIS-1: T1 MRI of healthy adults and patients with dementia.

The subjects are 18 to 96 years old.
"""

import functools

from uad_jax.data.cohorts import cohort_builder, people
from uad_jax.data.cohorts.cohort import Cohort, Tree
from uad_jax.data.cohorts.layout import Layout

YOUNG = 60
"""Age in years below which a subject without a clinical dementia rating is healthy."""


def read_people(root):
  """Reads age, sex and dementia rating (CDR) of each session from the OASIS-1 table.

  Subjects with the rating 0 are healthy; so are subjects without a rating who are
  younger than `YOUNG` (60 years).

  Args:
    root: Source folder, with the table at any depth.

  Returns:
    Function from a scan to the facts about its subject, see `people.Lookup`.
  """
  pattern = '**/oasis_cross-sectional*.[xc][ls]*'
  table = people.load(root, pattern, 'which tells who is healthy')
  names, rows = people.column(table, 'ID', pattern), {}
  columns = {k: people.column(table, k, pattern) for k in ('Age', 'M/F', 'CDR')}
  for index, name in enumerate(names):
    age, sex, rating = (columns[k].iloc[index] for k in ('Age', 'M/F', 'CDR'))
    young = rating == '' and (people.number(age) or 0) < YOUNG
    healthy = young or people.number(rating) == 0
    subject, _, session = name.rpartition('_')
    rows[subject, session] = {
      'age': age,
      'sex': sex,
      'diagnosis': f'CDR {rating or "not taken"}',
      'pathology': 'none' if healthy else 'dementia' if rating else 'unknown',
    }
  return functools.partial(people.row_of, rows)


COHORT = Cohort(
  name='oasis1',
  title='OASIS-1, cross-sectional, 18 to 96 years, a hundred with dementia',
  paper='Marcus et al., Journal of Cognitive Neuroscience 19(9), 2007',
  homepage='https://sites.wustl.edu/oasisbrains/',
  licence='OASIS data use agreement',
  tesla='1.5',
  subjects=416,
  healthy=True,
  access='Accept the agreement and download the discs and the spreadsheet.',
  trees=(
    Tree(
      'discs',
      Layout(
        '**/OAS1_*/PROCESSED/MPRAGE/T88_111/OAS1_*_t88_masked_gfc.img',
        labels='**/OAS1_*/FSL_SEG/OAS1_*_masked_gfc_fseg.img',
        subject=r'(OAS1_\d{4})_MR\d/',
        session=r'OAS1_\d{4}_(MR\d)/',
        label_map={'csf': (1,), 'grey': (2,), 'white': (3,)},
      ),
      {'t1': 'T1'},
      """
      oasis_cross-sectional.csv (or .xlsx)
      disc1/OAS1_0001_MR1/PROCESSED/MPRAGE/T88_111/OAS1_0001_MR1_mpr_n4_anon_111_t88_masked_gfc.img (.hdr)
      disc1/OAS1_0001_MR1/FSL_SEG/OAS1_0001_MR1_mpr_n4_anon_111_t88_masked_gfc_fseg.img (.hdr)
      """,  # noqa: E501
    ),
  ),
  people=read_people,
)


class Builder(cohort_builder.CohortBuilder):
  """TFDS builder of the OASIS-1 data set (healthy adults and dementia)."""

  COHORT = COHORT


open_builder = functools.partial(cohort_builder.open_builder, Builder)
