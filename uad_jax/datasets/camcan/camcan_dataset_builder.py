"""TFDS builder of Cam-CAN: T1 and T2 MRI of healthy adults from 18 to 88 years.

All scans come from one 3 T scanner.
"""

import functools

from uad_jax.data.cohorts import cohort_builder, people
from uad_jax.data.cohorts.cohort import Cohort, Tree
from uad_jax.data.cohorts.layout import Layout

COHORT = Cohort(
  name='camcan',
  title='Cam-CAN, healthy adults evenly spread from 18 to 88 years',
  paper='Shafto et al., BMC Neurology 14, 2014; Taylor et al., NeuroImage 144, 2017',
  homepage='https://camcan-archive.mrc-cbu.cam.ac.uk/dataaccess/',
  licence='on application',
  tesla='3',
  subjects=652,
  healthy=True,
  access='Apply for the MRI data in BIDS.',
  trees=(
    Tree(
      'bids',
      Layout(
        '**/sub-CC*/anat/sub-CC*_{contrast}.nii*', subject=r'(sub-CC\d+)', session=''
      ),
      {'t1': 'T1w', 't2': 'T2w'},
      """
      anat/participants.tsv
      anat/sub-CC110033/anat/sub-CC110033_T1w.nii.gz
      anat/sub-CC110033/anat/sub-CC110033_T2w.nii.gz
      """,
    ),
  ),
  people=people.reader(
    '**/participants.tsv',
    'participant_id',
    {'age': 'age', 'sex': 'gender_code'},
    naming=lambda name: f'sub-{name.removeprefix("sub-")}',
    values={'sex': {'1': 'M', '2': 'F', 'MALE': 'M', 'FEMALE': 'F'}},
  ),
)


class Builder(cohort_builder.CohortBuilder):
  """TFDS builder of the Cam-CAN data set (MRI of healthy adults)."""

  COHORT = COHORT


open_builder = functools.partial(cohort_builder.open_builder, Builder)
