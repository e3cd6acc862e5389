"""TFDS builder of OASIS-3: longitudinal MRI of normal ageing and dementia.

The contrasts are T1, T2 and FLAIR.
"""

import functools

from uad_jax.data.cohorts import cohort_builder, people
from uad_jax.data.cohorts.cohort import Cohort, Tree
from uad_jax.data.cohorts.layout import Layout

CLINICAL = '**/OASIS3_UDSb4_cdr.csv'
"""Glob pattern of the table of clinical visits."""

PEOPLE = '**/OASIS3_demographics.csv'
"""Glob pattern of the table of subjects."""

SEX = {'1': 'M', '2': 'F'}


def read_people(root):
  """Reads the subjects' sex, age and dementia rating (CDR) from the OASIS-3 tables.

  Age and rating are those of the clinical visit nearest in time to the scan. Scans with
  the rating 0 are healthy. Visits and sessions are dated in days since the subject's
  entry into the study: the session 'd0129' is day 129.

  Args:
    root: Source folder, with the tables at any depth.

  Returns:
    Function from a scan to the facts about its subject, see `people.Lookup`.
  """
  visits, sexes = {}, {}
  table = people.load(root, CLINICAL, 'which tells who is cognitively normal')
  names = ('OASISID', 'days_to_visit', 'age at visit', 'CDRTOT')
  columns = [people.column(table, name, CLINICAL) for name in names]
  for subject, day, age, rating in zip(*columns, strict=True):
    if people.number(day) is not None and people.number(rating) is not None:
      visits.setdefault(subject, []).append((float(day), age, float(rating)))
  table = people.load(root, PEOPLE)
  if table is not None:
    columns = [people.column(table, name, PEOPLE) for name in ('OASISID', 'GENDER')]
    sexes = {s: SEX.get(sex, sex) for s, sex in zip(*columns, strict=True)}

  def lookup(entry):
    known = {'sex': sexes.get(entry.subject, '')}
    if entry.subject not in visits:
      return known | {'pathology': 'unknown'}
    day = float(entry.session.lstrip('d') or 0)
    _, age, rating = min(visits[entry.subject], key=lambda visit: abs(visit[0] - day))
    pathology = 'none' if rating == 0 else 'dementia'
    return known | {'age': age, 'diagnosis': f'CDR {rating:g}', 'pathology': pathology}

  return lookup


COHORT = Cohort(
  name='oasis3',
  title='OASIS-3, longitudinal, 42 to 95 years, normal ageing and dementia',
  paper='LaMontagne et al., medRxiv 2019.12.13.19014902, 2019',
  homepage='https://sites.wustl.edu/oasisbrains/',
  licence='OASIS data use agreement',
  tesla='1.5, 3',
  subjects=1378,
  healthy=True,
  access='Accept the agreement; fetch scans and clinical tables from NITRC-IR.',
  trees=(
    Tree(
      'bids',
      Layout(
        '**/sub-OAS3*_{contrast}.nii*',
        subject=r'sub-(OAS3\d+)',
        session=r'_sess?-(d\d+)',
        several='first',
      ),
      {'t1': 'T1w', 't2': 'T2w', 'flair': 'FLAIR'},
      """
      OASIS3_UDSb4_cdr.csv
      OASIS3_demographics.csv
      OAS30001_MR_d0129/anat1/sub-OAS30001_ses-d0129_run-01_T1w.nii.gz
      """,
    ),
  ),
  people=read_people,
)


class Builder(cohort_builder.CohortBuilder):
  """TFDS builder of the OASIS-3 data set (normal ageing and dementia)."""

  COHORT = COHORT


open_builder = functools.partial(cohort_builder.open_builder, Builder)
