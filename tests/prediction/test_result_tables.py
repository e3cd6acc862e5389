"""The tables of many predictions hold the numbers of the maps."""

import csv
import io

import numpy as np
import pytest
from scipy import ndimage

from uad_jax.prediction import index_page, result_tables, sidecar
from uad_jax.prediction.result_tables import DONE, FAILED


def test_components_are_measured_in_the_mm_of_the_scan():
  lesion = np.zeros((12, 10, 8), np.uint8)
  lesion[1:3, 1:3, 1:3] = lesion[6:9, 4:8, 2:5] = 1
  lesion[3, 3, 3] = 1  # touches the first by a corner
  anomaly = np.random.default_rng(0).random(lesion.shape).astype(np.float32)
  affine = np.array([[0, 0, 2, -5], [-1, 0, 0, 7], [0, 1.5, 0, 3], [0, 0, 0, 1.0]])
  numbers = np.where(lesion, 1, 0)
  numbers[6:9] *= 2
  numbers[1, 1, 1] = 3  # two components of the prepared grid have merged
  weights = np.array([0.5, 0.75, 2.0]), np.array([np.nan, 0.25, 0.125])
  rows = result_tables.lesion_components(lesion, anomaly, affine, numbers, *weights)
  # Oracle: scipy's own measurements of its own components.
  labels, number = ndimage.label(lesion, np.ones((3, 3, 3)))
  assert number == len(rows) == 2
  for row, label in zip(rows, (2, 1), strict=True):
    assert row[0] == pytest.approx((labels == label).sum() * 3 / 1000, rel=1e-5)
    assert row[1] == pytest.approx(ndimage.mean(anomaly, labels, label), rel=1e-5)
    assert row[2] == pytest.approx(ndimage.maximum(anomaly, labels, label), rel=1e-5)
    centre = affine @ [*ndimage.center_of_mass(lesion, labels, label), 1]
    np.testing.assert_allclose(row[3:6], centre[:3], rtol=1e-5)
  # that of the heaviest part
  assert [row[6:] for row in rows] == [[0.75, 0.25], [2.0, 0.125]]
  unknown = weights[0], np.full(3, np.nan)
  rows = result_tables.lesion_components(lesion, anomaly, affine, numbers, *unknown)
  assert [row[7] for row in rows] == [None, None]
  none = 0 * lesion
  assert not result_tables.lesion_components(none, anomaly, affine, none, *weights)


RECORD = {
  'participant': 'P1',
  'session': '',
  'scan': 'P 1/T1.nii.gz',
  'run': 'r',
  'map': 'residual',
  'percent': '5',
  'threshold': 0.25,
  'lesion_ml': 1.5,
  'lesions': 2,
  'brain_ml': 1400.0,
  'marked_share_of_brain': 0.02,
  'warnings': ['one, with a comma', '<two>', 'name \udcff'],
  'seconds': 1.25,
  'files': ['T1_anomaly.nii.gz', 'T1_overlay.png'],
  'decision': 'components',
  'alpha': 0.05,
  'p': 0.125,
  'domain_p': None,
  'components': [
    [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, None],
    [0.5, 1.0, 1.5, -1.0, -2.0, -3.0],
  ],
  'status': DONE,
}
FAILURE = {
  'participant': 'P2',
  'session': '',
  'scan': 'P2/\udcff.nii',
  'warnings': ['bad'],
  'status': FAILED,
}


def rows_of(text):
  return list(csv.DictReader(io.StringIO(text)))


def test_tables_have_a_row_for_each_scan_and_each_component():
  records = {'P2/T1': FAILURE, 'P 1/T1': RECORD}
  one, two = rows_of(result_tables.scans_csv(records))
  assert tuple(one) == result_tables.SCANS
  assert one['warnings'] == 'one, with a comma; <two>; name \ufffd'
  assert one['threshold'] == '0.25'
  assert (one['status'], two['status'], two['lesion_ml']) == ('done', 'failed', '')
  assert two['warnings'] == 'bad'
  lesions = rows_of(result_tables.lesions_csv(records))
  assert [row['lesion'] for row in lesions] == ['1', '2']
  assert tuple(lesions[0]) == result_tables.LESIONS
  assert [row['z_mm'] for row in lesions] == ['6', '-3']
  # missing numbers, of a run without healthy scans and of an older version, are empty
  assert [(row['mass'], row['p']) for row in lesions] == [('7', ''), ('', '')]
  assert (one['p'], one['alpha'], one['domain_p']) == ('0.125', '0.05', '')
  assert rows_of(result_tables.lesions_csv({})) == []


def test_the_page_links_relatively_and_is_sorted_by_volume():
  larger = RECORD | {'scan': 'z.nii', 'lesion_ml': 7.0, 'warnings': []}
  page = index_page.render({'P 1/T1': RECORD, 'z': larger, 'P2/T1': FAILURE})
  assert page.index('7.0 ml') < page.index('1.5 ml')
  assert 'src="P%201/T1_overlay.png"' in page and 'href="P%201/T1.json"' in page
  assert '&lt;two&gt;' in page and 'href="P%201/T1_anomaly.nii.gz"' in page
  assert 'http' not in page and '<b>P2/' in page
  assert index_page.MARK in page[:1000] and page.encode()


def test_a_sidecar_has_a_line_for_each_component(tmp_path):
  text = sidecar.render(RECORD | {'made_from': {}})
  (tmp_path / 'T1.json').write_text(text)
  assert sidecar.read(tmp_path / 'T1.json') == RECORD | {'made_from': {}}
  assert '  [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, null],\n' in text
