"""Functions that keep the tables and the page of a folder of predictions up to date."""

import pathlib
import time
from collections.abc import Iterable, Mapping
from typing import Any

from uad_jax.prediction import index_page, sidecar
from uad_jax.prediction.result_tables import DONE, lesions_csv, scans_csv
from uad_jax.report.atomic_files import write_text

PAUSE = 10.0
"""Seconds between two versions of lesions.csv and index.html during the work."""


class ResultFolder:
  """Folder of predictions with scans.csv, lesions.csv and index.html.

  The tables hold all predictions in the folder, sorted by path; those of an earlier
  command whose files are still there are among them.

  Attributes:
    earlier: Sidecars that the folder held at the beginning, by path without suffix.

  Args:
    folder: The folder; it may be missing.
  """

  def __init__(self, folder: pathlib.Path):
    """Reads the sidecars in the folder."""
    self.earlier = sidecar.all_below(folder)
    self._folder = folder
    self._records: dict[str, Mapping[str, Any]] = {
      stem: content | {'status': DONE} for stem, content in self.earlier.items()
    }
    self._dropped: set[str] = set()
    self._next = 0.0

  def drop(self, stem: str) -> None:
    """Leaves a prediction out of the tables, until `add` gives its new version."""
    self._records.pop(stem, None)
    self._dropped.add(stem)

  def keep(self, stem: str, facts: Mapping[str, Any]) -> None:
    """Keeps an earlier prediction in the tables, by the names that a scan has now."""
    self._records[stem] = {**self._records[stem], **facts}

  def add(self, stem: str, record: Mapping[str, Any]) -> None:
    """Adds a scan to the tables and writes them.

    Args:
      stem: Path of its results below the folder.
      record: Content of its sidecar with the entry 'status'.
    """
    self._records[stem] = record
    self._folder.mkdir(parents=True, exist_ok=True)
    write_text(self._folder / 'scans.csv', scans_csv(self._records))
    if time.monotonic() >= self._next:
      self._write_large()
      self._next = time.monotonic() + PAUSE

  def close(self, failing: bool = False) -> None:
    """Writes the last version of the tables and of the page, if there is a result.

    Predictions that another command has written meanwhile are included.

    Args:
      failing: Whether an error is being raised, which an error here must not replace.
    """
    for stem, content in sidecar.all_below(self._folder).items():
      if stem not in self._dropped:
        self._records.setdefault(stem, content | {'status': DONE})
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
    """Counts the scans that have results."""
    records = (self._records.get(stem, {}) for stem in stems)
    return sum(record.get('status') == DONE for record in records)

  def warnings(self, stem: str) -> list[str]:
    """Returns the warnings about a scan that has results."""
    record = self._records.get(stem, {})
    return record.get('warnings', []) if record.get('status') == DONE else []

  def _write_large(self) -> None:
    write_text(self._folder / 'lesions.csv', lesions_csv(self._records))
    write_text(self._folder / 'index.html', index_page.render(self._records))
