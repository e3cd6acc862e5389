"""TFDS builder of IXI: T1, T2 and PD MRI of healthy adults from three scanners.

The scanners are in three hospitals in London.
"""

import functools

from uad_jax.data.cohorts import cohort_builder, people
from uad_jax.data.cohorts.cohort import Cohort, Download, Tree
from uad_jax.data.cohorts.layout import Layout

URL = 'http://biomedic.doc.ic.ac.uk/brain-development/downloads/IXI/IXI-{}.tar'
MD5 = {
  't1': '34901a0593b41dd19c1a1f746eac2d58',
  't2': 'e3140d78730ecdd32ba92da48c0a9aaa',
  'pd': '88ecd9d1fa33cb4a2278183b42ffd749',
}

COHORT = Cohort(
  name='ixi',
  title='IXI, nearly 600 healthy adults of three London hospitals',
  paper='IXI, EPSRC GR/S21533/02, brain-development.org',
  homepage='https://brain-development.org/ixi-dataset/',
  licence='CC BY-SA 3.0',
  tesla='1.5, 3',
  subjects=581,
  healthy=True,
  access='Free to download, also by --download; IXI.xls holds age and sex.',
  trees=(
    Tree(
      '2008',
      Layout('**/IXI*-{contrast}.nii*', subject=r'(IXI\d{3})-', session='', table=''),
      {'t1': 'T1', 't2': 'T2', 'pd': 'PD'},
      """
      IXI-T1/IXI002-Guys-0828-T1.nii.gz
      IXI-T2/IXI002-Guys-0828-T2.nii.gz
      IXI-PD/IXI002-Guys-0828-PD.nii.gz
      IXI.xls (or .csv)
      """,
    ),
  ),
  people=people.reader(
    '**/IXI*.[xc][ls]*',
    'IXI_ID',
    {'age': 'AGE', 'sex': 'SEX_ID (1=m, 2=f)'},
    naming=lambda number: f'IXI{int(float(number)):03d}',
    values={'sex': {'1': 'M', '2': 'F'}},
  ),
  downloads={c: Download(URL.format(c.upper()), md5) for c, md5 in MD5.items()},
  site=r'IXI\d{3}-([A-Za-z]+)-',
)


class Builder(cohort_builder.CohortBuilder):
  """TFDS builder of the IXI data set (MRI of healthy adults)."""

  COHORT = COHORT


open_builder = functools.partial(cohort_builder.open_builder, Builder)
