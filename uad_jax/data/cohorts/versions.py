"""Functions that choose the prepared version of a data set that fits its source files.

If the source files have changed, the data set is prepared again as a new version beside
the old one, so that the data of older runs stay unchanged. The TFDS config of the new
version has the name of the first version and a hash of the source.
"""

import json
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from uad_jax.data import manifest
from uad_jax.data.cohorts import sources, splits
from uad_jax.data.cohorts.entry import Entry
from uad_jax.data.cohorts.scan_config import ScanConfig
from uad_jax.data.preprocessing.nifti import BadScan


class Version(NamedTuple):
  """Prepared version of a data set, stored on disk.

  Attributes:
    name: Name of the TFDS config.
    folder: Folder of the TFDS files and the manifest.
    volumes: Entries of the manifest, see `manifest.make`.
    skipped: Number of scans that could not be used and were not stored.
    scans: Record of the source files, see `sources`; None for a version without one.
  """

  name: str
  folder: pathlib.Path
  volumes: list[dict[str, Any]]
  skipped: int
  scans: list[dict[str, Any]] | None

  def differences(self, now: Sequence[sources.Scan]) -> list[str]:
    """Describes how the source has changed since this version was prepared from it.

    A version without a record is compared by its subjects, sessions and splits.

    Args:
      now: Record of the source as it is now.

    Returns:
      Phrases, see `sources.changes`; [] if the source has not changed.
    """
    if self.scans is not None:
      return sources.changes(self.scans, now)
    names = ('subject', 'session', 'split')
    old = [{name: volume[name] for name in names} for volume in self.volumes]
    keys = {(scan['subject'], scan['session']) for scan in old}
    extra = [s for s in now if (s['subject'], s['session']) not in keys]
    if len(extra) <= self.skipped:  # scans that could not be used
      now = [scan for scan in now if scan not in extra]
    return sources.changes(old, now)


class Choice(NamedTuple):
  """Result of `choose`: the version of a data set to use.

  Attributes:
    name: Name of its TFDS config; the version may still have to be prepared.
    sentence: Message to the user about the choice; '' for none.
  """

  name: str
  sentence: str = ''


def prepared(root: pathlib.Path, base: str, version: str) -> list[Version]:
  """Lists the prepared versions of a data set, the oldest first.

  Args:
    root: Folder of the TFDS builder in the folder of prepared data.
    base: Name of the TFDS config of the first version.
    version: Version of the TFDS builder.
  """
  pattern = re.compile(re.escape(base) + r'(-[0-9a-f]{8})?')
  names = os.listdir(root) if root.is_dir() else []
  result = []
  for name in filter(pattern.fullmatch, names):
    folder = root / name / version
    try:
      content = manifest.read(str(folder))
      volumes, skipped = content['volumes'], len(content.get('skipped', ()))
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
      continue  # not finished or damaged
    result.append(Version(name, folder, volumes, skipped, sources.read(folder)))

  def age(version):
    return (version.folder / manifest.NAME).stat().st_mtime_ns, version.name != base

  return sorted(result, key=age)


def entries_of(settings: ScanConfig, source: str) -> list[Entry]:
  """Lists the scans of a source folder with their splits, without reading the images.

  Raises:
    BadScan: The folder or its table of subjects cannot be used.
  """
  entries, _ = settings.find(source)
  return splits.assign(entries, settings.fractions, settings.listed, settings.healthy)


def is_there(source: str) -> bool:
  """Returns whether a source folder exists and is not empty.

  The mount point of a drive that is not mounted is an empty folder.
  """
  return os.path.isdir(source) and bool(os.listdir(source))


def record(
  entries: Sequence[Entry], source: str, versions: Sequence[Version]
) -> list[dict[str, Any]]:
  """Makes the record of the files of a source folder, see `sources`.

  Files whose SHA-256 is in the record of a version are not read again.

  Args:
    entries: Scans of the source, from `entries_of`.
    source: Path of the source folder.
    versions: Prepared versions, from `prepared`.
  """
  known = sources.known_in(version.scans or () for version in versions)
  return sources.hashed(sources.listing(entries, source), source, known)


def choose(settings: ScanConfig, versions: Sequence[Version], kept: str = '') -> Choice:
  """Chooses the version of a data set that fits the present source files.

  If the chosen version has no record of the source, the record is written to it.

  Args:
    settings: Config of the data set, with the name of its first version.
    versions: Prepared versions, from `prepared`.
    kept: Name of the version that a run to be continued has used; it is chosen if it is
      prepared. '' for a new run.

  Raises:
    BadScan: The source or its table of subjects cannot be used, and `kept` is not
      prepared.
  """
  source, by_name = settings.source, {version.name: version for version in versions}
  if not versions or not source:
    return Choice(kept if kept in by_name else settings.name)
  newest = by_name.get(kept, versions[-1])
  if not is_there(source):
    return Choice(
      newest.name,
      f'{source} is not there; the data prepared from it in {newest.folder} are used',
    )
  try:
    now = record(entries_of(settings, source), source, versions)
  except BadScan as problem:
    if kept not in by_name:
      raise
    return Choice(
      kept,
      f'the run goes on with the data in {newest.folder}; its source has a fault now: '
      f'{problem}',
    )
  if kept in by_name:
    changed = newest.differences(now)
    sentence = (
      f'{source} has changed since this run began: {", ".join(changed)}; the run goes '
      f'on with the data in {newest.folder}, another --workdir takes the new ones'
    )
    return Choice(kept, sentence if changed else '')
  for version in reversed(versions):
    if not version.differences(now):
      _complete(version, now)
      return Choice(version.name)
  if settings.name not in by_name:
    return Choice(settings.name)
  name = f'{settings.name}-{sources.digest(now)[:8]}'
  changed = ', '.join(newest.differences(now))
  return Choice(
    name,
    f'{source} has changed since it was prepared: {changed}; it is prepared anew as '
    f'{name}, beside {newest.name}',
  )


def _complete(version: Version, now: Sequence[sources.Scan]) -> None:
  """Writes the record of a version that has none, or has other times of its files."""
  if version.scans == now:
    return
  try:
    sources.write(now, version.folder)
  except OSError:
    pass  # data of somebody else, which cannot be written: compared anew each time
