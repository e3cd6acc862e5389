import pathlib

import nibabel as nib
import numpy as np
import pytest

from tests.datasets.building import build, records
from tests.long_variants import all_but
from uad_jax.data import manifest
from uad_jax.data import record as recording
from uad_jax.data.cohorts import cohort, fastmri, splits
from uad_jax.data.cohorts.entry import Entry
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.datasets import catalogue

# Miniature tree to its cohort, the contrast and the scans (subject, session).
MINIATURES = {
  'ixi': (
    'ixi', 't1', [('IXI002', ''), ('IXI012', ''), ('IXI035', ''), ('IXI049', '')],
  ),
  'camcan': (
    'camcan', 't1', [('sub-CC110033', ''), ('sub-CC110037', ''), ('sub-CC110045', '')],
  ),
  'oasis1': (
    'oasis1', 't1',
    [('OAS1_0001', 'MR1'), ('OAS1_0002', 'MR1'), ('OAS1_0003', 'MR1'),
     ('OAS1_0061', 'MR1'), ('OAS1_0061', 'MR2')],
  ),
  'oasis3': (
    'oasis3', 't1',
    [('OAS30001', 'd0129'), ('OAS30001', 'd3132'), ('OAS30002', 'd0371'),
     ('OAS30003', 'd0100')],
  ),
  'adni': (
    'adni', 't1',
    [('002_S_0295', '2006-04-18'), ('002_S_0295', '2006-11-02'),
     ('002_S_0413', '2006-05-02'), ('003_S_0907', '2006-09-11')],
  ),
  'brats_2018': (
    'brats', 't2',
    [('Brats18_2013_10_1', ''), ('Brats18_CBICA_AAB_1', ''),
     ('Brats18_TCIA08_167_1', '')],
  ),
  'brats_2020': (
    'brats', 't1',
    [('BraTS20_Training_001', ''), ('BraTS20_Training_002', ''),
     ('BraTS20_Training_355', '')],
  ),
  'brats_2021': (
    'brats', 't1ce', [('BraTS2021_00000', ''), ('BraTS2021_00002', '')],
  ),
  'brats_2023': (
    'brats', 'flair',
    [('BraTS-GLI-00000', '000'), ('BraTS-GLI-00000', '001'),
     ('BraTS-GLI-00002', '000')],
  ),
  'brats_msd': ('brats', 't1ce', [('BRATS_001', ''), ('BRATS_002', '')]),
  'mslub': (
    'mslub', 'flair', [('patient01', ''), ('patient02', ''), ('patient03', '')],
  ),
  'msisbi2015': (
    'msisbi2015', 'flair',
    [('training01', '01'), ('training01', '02'), ('training02', '01')],
  ),
  'msseg2016': (
    'msseg2016', 'flair', [('Center_01-Patient_01', ''), ('Center_03-Patient_01', '')],
  ),
  'wmh': ('wmh', 'flair', [('GE3T-100', ''), ('Singapore-50', ''), ('Utrecht-0', '')]),
  'atlas2': ('atlas2', 't1', [('sub-r001s001', 'ses-1'), ('sub-r009s002', 'ses-1')]),
  'mood': ('mood', 't2', [('00000', ''), ('00001', ''), ('00002', ''), ('toy_0', '')]),
  'fastmri_plus': (
    'fastmri_plus', 'flair', [('AXFLAIR_200_6002425', ''), ('AXFLAIR_200_6002441', '')],
  ),
}  # fmt: skip


def test_every_cohort_has_a_miniature():
  assert {name for name, *_ in MINIATURES.values()} == {
    table.name for table in catalogue.cohorts()
  }


@pytest.mark.parametrize('miniature', MINIATURES)
def test_the_scans_of_a_miniature_are_listed(miniature, sources):
  name, contrast, expected = MINIATURES[miniature]
  entries, _ = cohort.find(sources(miniature), catalogue.cohort(name), contrast)
  assert [(e.subject, e.session) for e in entries] == expected
  assert not [e.problem for e in entries if e.problem]


@pytest.mark.filterwarnings('ignore:.*Analyze has no field')  # of OASIS-1
@pytest.mark.parametrize(
  'miniature', all_but(MINIATURES, ('ixi', 'brats_2020', 'wmh', 'mood'))
)
def test_a_miniature_is_built(miniature, sources, tmp_path):
  name, contrast, expected = MINIATURES[miniature]
  table = catalogue.cohort(name)
  builder = build(name, sources(miniature), tmp_path, contrast=contrast)
  stored = manifest.read(builder.data_dir)
  assert {(v['subject'], v['session']) for v in stored['volumes']} == set(expected)
  assert not stored['skipped']
  first_splits = {}
  for volume in stored['volumes']:  # no subject is in two splits
    first = first_splits.setdefault(volume['subject'], volume['split'])
    assert first == volume['split']
  for record in records(builder):
    assert record['image'].shape == (40, 48, 1)
    inside = record['image'][record['mask'] > 0]
    assert (
      np.isfinite(inside).all() and (record['image'][record['mask'] == 0] < -3).all()
    )
  ill = [r for r in records(builder) if r['pathology'] != b'none']
  if not table.healthy:
    assert {v['split'] for v in stored['volumes']} <= set(splits.LESIONS)
    assert {r['pathology'].decode() for r in ill} == {table.pathology}
    assert sum(r['lesion'].sum() for r in ill) > 0
  else:
    assert all(v['split'] in (*splits.HEALTHY, 'patients') for v in stored['volumes'])


@pytest.fixture(scope='module')
def people(sources, tmp_path_factory):
  """(miniature) -> (subject, session) to the fields of the entry."""

  def read(miniature):
    name, contrast, _ = MINIATURES[miniature]
    table = catalogue.cohort(name)
    entries, _ = cohort.find(sources(miniature), table, contrast)
    return {
      (e.subject, e.session): e._asdict() | dict(e.people)
      for e in splits.assign(entries, table.fractions, healthy=table.healthy)
    }

  return read


def test_ixi_knows_age_sex_and_scanner(people, sources):
  known = people('ixi')
  assert known['IXI012', '']['age'] == 38.78 and known['IXI012', '']['sex'] == 'M'
  assert known['IXI012', '']['domain'] == 'ixi-hh'
  assert np.isnan(known['IXI035', '']['age'])
  _, absent = cohort.find(sources('ixi'), catalogue.cohort('ixi'), 't1')
  assert absent == ['IXI099 has t2 but no t1']


def test_camcan_reads_both_spellings_of_a_subject(people):
  known = people('camcan')
  assert (known['sub-CC110033', '']['age'], known['sub-CC110033', '']['sex']) == (
    24,
    'M',
  )
  assert known['sub-CC110037', '']['sex'] == 'F'


def test_dementia_does_not_train(people):
  known = people('oasis1')
  assert known['OAS1_0002', 'MR1']['split'] == 'patients'  # CDR 0.5
  assert known['OAS1_0003', 'MR1']['split'] == 'patients'  # old and never rated
  assert known['OAS1_0061', 'MR2']['split'] == known['OAS1_0061', 'MR1']['split']
  assert known['OAS1_0061', 'MR1']['pathology'] == 'none'
  known = people('oasis3')
  assert known['OAS30001', 'd3132']['age'] == 73.4  # of the nearest visit
  assert known['OAS30001', 'd3132']['diagnosis'] == 'CDR 0'
  assert known['OAS30002', 'd0371']['split'] == 'patients'
  assert known['OAS30003', 'd0100']['pathology'] == 'unknown'
  assert known['OAS30003', 'd0100']['split'] == 'patients'
  known = people('adni')
  assert known['002_S_0295', '2006-04-18']['pathology'] == 'none'
  assert known['002_S_0413', '2006-05-02']['split'] == 'patients'
  assert known['002_S_0413', '2006-05-02']['diagnosis'] == 'MCI'


def test_a_patient_stays_out_with_all_sessions():
  entry = Entry('s', 'a', 'x')
  entries = [entry, entry._replace(session='b', pathology='dementia')]
  assigned = splits.assign(entries, splits.HEALTHY, {'s': 'train'}, healthy=True)
  assert [e.split for e in assigned] == ['patients', 'patients']


def test_tumours_are_whole_and_channels_are_right(sources, tmp_path):
  builder = build('brats', sources('brats_2020'), tmp_path, contrast='t1')
  sizes = {}
  for record in records(builder):
    sizes.setdefault(record['subject'], []).append(record['lesion'].sum())
  assert len(sizes) == 3 and all(sum(areas) > 0 for areas in sizes.values())
  # 1 and 4 both count: the mask is the whole block.
  entries, _ = cohort.find(sources('brats_2020'), catalogue.cohort('brats'), 't1')
  assert entries[0].lesion_values == (1, 2, 3, 4)
  entries, _ = cohort.find(sources('brats_msd'), catalogue.cohort('brats'), 't2')
  assert {e.channel for e in entries} == {3}
  _, absent = cohort.find(sources('brats_2020'), catalogue.cohort('brats'), 'flair')
  assert absent == ['BraTS20_Training_002 has t1, t1ce, t2 but no flair']


@pytest.mark.slow
def test_other_pathology_counts_when_asked(sources, tmp_path):
  def size(**options):
    builder = build('wmh', sources('wmh'), tmp_path, contrast='flair', **options)
    return sum(r['lesion'].sum() for r in records(builder))

  assert 0 < size() < size(lesion_values=(1, 2))


def test_volumes(sources, tmp_path):
  form = {'form': 'volumes', 'shape': (40, 48, 40)}
  builder = build('mslub', sources('mslub'), tmp_path, contrast='t2', **form)
  volumes = records(builder)
  assert [r['image'].shape for r in volumes] == [(40, 48, 40, 1)] * 3
  assert all(r['slice'] == -1 and r['lesion'].any() for r in volumes)
  stored = manifest.read(builder.data_dir)['volumes']
  # The manifest holds the digest of the slices of the volume.
  digests = {
    r['subject'].decode(): recording.digest(recording.cut(r, k) for k in range(40))
    for r in volumes
  }
  assert {v['subject']: v['records'] for v in stored} == digests


def test_boxes_are_upside_down():
  # Oracle: a box about the upper left pixel of the picture covers the file's last row.
  image = nib.Nifti1Image(np.zeros((6, 5, 2), np.float32), np.eye(4))
  mask = np.asarray(fastmri.box_mask(image, [(1, 0, 0, 2, 1)]).dataobj)
  assert mask[:2, 4, 1].all() and mask.sum() == 2
  picture = np.flipud(mask[:, :, 1].T)  # rows of the file, turned
  assert picture[0, 0] == 1


def test_fastmri_boxes_and_normal_studies(sources, people):
  known = people('fastmri_plus')
  scan = known['AXFLAIR_200_6002425', '']
  assert scan['boxes'] == ((12, 10, 8, 4, 3),) and scan['split'] == 'patients'
  assert known['AXFLAIR_200_6002441', '']['pathology'] == 'none'
  image = fastmri.read(scan['image'])
  np.testing.assert_allclose(nib.affines.voxel_sizes(image.affine), (8, 8, 7.5))
  with pytest.raises(BadScan, match='no fastMRI file'):
    fastmri.read(__file__)


@pytest.mark.parametrize('table', catalogue.cohorts(), ids=lambda t: t.name)
def test_the_tables_are_whole(table):
  assert table.instructions.count('[') >= len(table.trees)
  assert table.paper and table.licence and table.homepage.startswith('https://')
  for tree in table.trees:
    for contrast in tree.contrasts:
      assert '{contrast}' not in tree.of(contrast).image
  listed = pathlib.Path(catalogue.module(table.name).__file__).parent / 'splits.txt'
  if listed.exists():
    assert set(splits.read(listed).values()) <= set(table.fractions)
