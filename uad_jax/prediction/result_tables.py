"""Functions that build scans.csv and lesions.csv, the tables of many predictions."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from uad_jax.evaluation.lesionwise import components

SCANS = (
  'participant', 'session', 'scan', 'run', 'map', 'percent', 'threshold', 'lesion_ml',
  'lesions', 'brain_ml', 'marked_share_of_brain', 'warnings', 'seconds', 'status',
)  # fmt: skip
"""Columns of scans.csv; all but the status are entries of the sidecars."""

COMPONENT = ('volume_ml', 'mean_score', 'largest_score', 'x_mm', 'y_mm', 'z_mm')
"""Numbers of a lesion component, with the centre in the mm of the scan."""

LESIONS = ('participant', 'session', 'scan', 'lesion', *COMPONENT)
"""Columns of lesions.csv; lesions are numbered from the largest to the smallest."""

DONE, FAILED = 'done', 'failed'
"""Values of the column 'status'."""


def lesion_components(
  lesion: np.ndarray, anomaly: np.ndarray, affine: np.ndarray
) -> list[list[float]]:
  """Measures the connected components of a lesion mask, the largest first.

  Args:
    lesion: Lesion mask [X, Y, Z].
    anomaly: Anomaly map [X, Y, Z].
    affine: Affine of the scan from voxel indices to mm, 4x4.

  Returns:
    One list for each component: the six numbers in `COMPONENT`, rounded to six
    significant digits.
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
  order = np.argsort(-size, kind='stable')
  rows = np.stack([volume, mean, largest, *millimetres], 1)[order]
  return [[float(f'{value:.6g}') for value in row] for row in rows]


def text_of(value: Any) -> str:
  """Formats a value as text: floats with six significant digits, lists with '; '."""
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
      {**records[stem], 'lesion': number} | dict(zip(COMPONENT, component, strict=True))
      for stem in sorted(records)
      for number, component in enumerate(records[stem].get('components', ()), 1)
    ),
  )
