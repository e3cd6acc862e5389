"""Class that updates scans.csv, lesions.csv and index.html in a results folder."""

import pathlib
import time
from collections.abc import Iterable, Mapping
from typing import Any

from uad_jax.prediction import index_page, sidecar
from uad_jax.prediction.result_tables import DONE, FAILED, lesions_csv, scans_csv
from uad_jax.report.atomic_files import write_text

FACTS = ('participant', 'session', 'scan', 'input')
"""Entries of a sidecar that a failed scan has too, see `scan_preparation.facts_of`."""

PAUSE = 10.0
"""Seconds between two versions of lesions.csv and index.html during the work."""


def record_of(content: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the record of a stored prediction, which says whether it is done.

  If a later command could not predict the scan anew, the record is that of a failed
  scan, without numbers of the earlier prediction.

  Args:
    content: Content of its sidecar.
  """
  if problem := content.get(sidecar.FAILURE):
    facts = {name: content.get(name, '') for name in FACTS}
    return facts | {'warnings': [problem], 'status': FAILED}
  return {**content, 'status': DONE}


class ResultFolder:
  """Folder of predictions, with the summaries scans.csv, lesions.csv and index.html.

  The tables list all predictions in the folder, sorted by path, including those of
  earlier commands.

  Attributes:
    earlier: Content of the sidecars (JSON files that describe predictions) that were in
      the folder at the beginning, by path without suffix.

  Args:
    folder: Folder with the results; it need not exist yet.
  """

  def __init__(self, folder: pathlib.Path):
    """Reads the sidecars in the folder."""
    self.earlier = sidecar.all_below(folder)
    self._folder = folder
    self._records: dict[str, Mapping[str, Any]] = {
      stem: record_of(content) for stem, content in self.earlier.items()
    }
    self._dropped: set[str] = set()
    self._next = 0.0

  def drop(self, stem: str) -> None:
    """Removes a prediction from the tables; `add` can enter its new version."""
    self._records.pop(stem, None)
    self._dropped.add(stem)

  def keep(self, stem: str, facts: Mapping[str, Any]) -> None:
    """Keeps an earlier prediction in the tables and updates entries of its record.

    It is done, also if a command in between failed with other settings.

    Args:
      stem: Path of its results below the folder, without suffix.
      facts: Entries that replace the earlier ones, such as the path of the scan.
    """
    sidecar.write_failure(self._folder / stem, '')
    content = {k: v for k, v in self.earlier[stem].items() if k != sidecar.FAILURE}
    self._records[stem] = {**record_of(content), **facts}

  def add(self, stem: str, record: Mapping[str, Any]) -> None:
    """Adds a scan to the tables and writes scans.csv.

    lesions.csv and index.html are written at most once every `PAUSE` seconds.

    Args:
      stem: Path of its results below the folder, without suffix.
      record: Content of its sidecar and the additional entry 'status'.
    """
    self._records[stem] = record
    self._folder.mkdir(parents=True, exist_ok=True)
    write_text(self._folder / 'scans.csv', scans_csv(self._records))
    if time.monotonic() >= self._next:
      self._write_large()
      self._next = time.monotonic() + PAUSE

  def close(self, failing: bool = False) -> None:
    """Writes the final tables and index.html, unless there are no scans to list.

    Predictions that another command has written in the meantime are included.

    Args:
      failing: Whether another error is already being raised; if so, errors in writing
        are ignored.
    """
    for stem, content in sidecar.all_below(self._folder).items():
      if stem not in self._dropped:
        self._records.setdefault(stem, record_of(content))
    if not self._records:
      return
    try:
      self._folder.mkdir(parents=True, exist_ok=True)
      write_text(self._folder / 'scans.csv', scans_csv(self._records))
      self._write_large()
    except OSError:
      if not failing:
        raise

  def predicted(self, stems: Iterable[str]) -> int:
    """Counts the paths in `stems` for which there is a prediction."""
    records = (self._records.get(stem, {}) for stem in stems)
    return sum(record.get('status') == DONE for record in records)

  def warnings(self, stem: str) -> list[str]:
    """Returns the warnings about a predicted scan; [] if it has no prediction."""
    record = self._records.get(stem, {})
    return record.get('warnings', []) if record.get('status') == DONE else []

  def notes(self, stems: Iterable[str]) -> list[str]:
    """Returns the sentences about the decision on predicted scans, each once."""
    records = (self._records.get(stem, {}) for stem in stems)
    return list(dict.fromkeys(r['note'] for r in records if r.get('note')))

  def _write_large(self) -> None:
    write_text(self._folder / 'lesions.csv', lesions_csv(self._records))
    write_text(self._folder / 'index.html', index_page.render(self._records))
