"""Functions that build scans.csv and lesions.csv, the tables of many predictions."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from uad_jax.evaluation.lesionwise import components

SCANS = (
  'participant', 'session', 'scan', 'run', 'map', 'percent', 'threshold', 'decision',
  'alpha', 'p', 'lesion_ml', 'lesions', 'brain_ml', 'marked_share_of_brain', 'domain_p',
  'warnings', 'seconds', 'status',
)  # fmt: skip
"""Columns of scans.csv; all but the status are entries of the sidecars. 'p' is the
smallest p-value of a component of the scan, see `decision`, and 'domain_p' that of the
gate, see `domain`; they are empty where the run has no healthy scans for them."""

COMPONENT = (
  *('volume_ml', 'mean_score', 'largest_score', 'x_mm', 'y_mm', 'z_mm'),
  *('mass', 'p'),
)
"""Numbers of a lesion component, with the centre in the mm of the scan; mass and
p-value are missing in sidecars of older versions."""

LESIONS = ('participant', 'session', 'scan', 'lesion', *COMPONENT)
"""Columns of lesions.csv; lesions are numbered from the largest to the smallest."""

STABLE = 7
"""Number of first columns of both tables that all versions have."""

DONE, FAILED = 'done', 'failed'
"""Values of the column 'status'."""


def lesion_components(
  lesion: np.ndarray,
  anomaly: np.ndarray,
  affine: np.ndarray,
  numbers: np.ndarray,
  masses: np.ndarray,
  p_values: np.ndarray,
) -> list[list[float | None]]:
  """Measures the connected components of a lesion mask, the largest first.

  Mass and p-value are those of the component on the prepared grid, of which it is the
  image; if several have merged, of the one with the largest mass.

  Args:
    lesion: Lesion mask [X, Y, Z].
    anomaly: Anomaly map [X, Y, Z].
    affine: Affine of the scan from voxel indices to mm, 4x4.
    numbers: Component of the prepared grid in each lesion voxel, int [X, Y, Z], above
      0; the larger number has the larger mass.
    masses: Mass of each component, in this order, in score times ml [number].
    p_values: p-value of each component [number], nan where there is none.

  Returns:
    One list for each component: the numbers in `COMPONENT`, rounded to six significant
    digits; None for nan.
  """
  labels, number = components(lesion > 0)
  if not number:
    return []
  places = np.argwhere(labels)
  of_voxel = labels[tuple(places.T)]
  scores = np.asarray(anomaly, np.float64)[tuple(places.T)]
  size = np.bincount(of_voxel, minlength=number + 1)[1:]
  mean = np.bincount(of_voxel, scores, minlength=number + 1)[1:] / size
  largest = np.atleast_1d(ndimage.maximum(scores, of_voxel, np.arange(1, number + 1)))
  centre = [
    np.bincount(of_voxel, axis, minlength=number + 1)[1:] / size for axis in places.T
  ]
  millimetres = affine[:3, :3] @ np.stack(centre) + affine[:3, 3:]
  volume = size * abs(np.linalg.det(affine[:3, :3])) / 1000
  index = np.arange(1, number + 1)
  heaviest = ndimage.maximum(numbers[tuple(places.T)], of_voxel, index).astype(int) - 1
  order = np.argsort(-size, kind='stable')
  columns = (volume, mean, largest, *millimetres, masses[heaviest], p_values[heaviest])
  return [
    [None if np.isnan(value) else float(f'{value:.6g}') for value in row]
    for row in np.stack(columns, 1)[order]
  ]


def text_of(value: Any) -> str:
  """Formats a value as text: floats with six digits, lists with '; ', None as ''."""
  if value is None:
    return ''
  if isinstance(value, float):
    return f'{value:.6g}'
  if isinstance(value, list | tuple):
    value = '; '.join(map(str, value))
  # Names of files may hold bytes that are not UTF-8.
  return str(value).encode(errors='surrogateescape').decode(errors='replace')


def table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
  """Formats rows as CSV text with a header line; missing values are empty."""
  stream = io.StringIO()
  writer = csv.writer(stream, lineterminator='\n')
  writer.writerow(columns)
  for row in rows:
    writer.writerow([text_of(row.get(name, '')) for name in columns])
  return stream.getvalue()


def scans_csv(records: Mapping[str, Mapping[str, Any]]) -> str:
  """Renders the text of scans.csv, with one row for each scan.

  Args:
    records: Content of the sidecars, the JSON files that describe the predictions, by
      path without suffix; each has the additional entry 'status'.
  """
  return table(SCANS, (records[stem] for stem in sorted(records)))


def lesions_csv(records: Mapping[str, Mapping[str, Any]]) -> str:
  """Renders the text of lesions.csv, with one row for each lesion component.

  Args:
    records: Content of the sidecars, the JSON files that describe the predictions, by
      path without suffix.
  """
  return table(
    LESIONS,
    (
      {**records[stem], 'p': '', 'lesion': number}
      | dict(zip(COMPONENT, component, strict=False))
      for stem in sorted(records)
      for number, component in enumerate(records[stem].get('components', ()), 1)
    ),
  )
