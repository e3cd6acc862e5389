"""Functions that check a prepared data set for damage, data leaks and unusual scans."""

import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from uad_jax.data import manifest
from uad_jax.data.cohorts.scan_summary import ScanSummary, summaries

SAME = 0.9995
"""Smallest correlation of the thumbnails of two scans that count as the same scan."""

FAR = 5.0
"""Distance of an outlier from the median in robust standard deviations, 1.4826 MAD."""

VOLUME = (700.0, 2300.0)
"""Range of the volume of an adult brain in the scans, in ml."""


class Finding(NamedTuple):
  """Problem that the check of a prepared data set has found.

  It is a problem of one scan or of the whole data set.

  Attributes:
    scan: Subject and session of the scan; '' for a problem of the whole data set.
    sentence: Description of the problem, without the name of the scan.
  """

  scan: str
  sentence: str


def run(folder: str | pathlib.Path) -> tuple[list[ScanSummary], list[Finding]]:
  """Checks a prepared data set and returns a summary of each scan and all problems.

  Args:
    folder: Folder of the data set, with its records and its manifest.json.

  Returns:
    Summaries of all scans, and the problems. If the data set is damaged and cannot be
    read: no summaries, and one problem.
  """
  try:
    stored_manifest = manifest.read(str(folder))
    builder = tfds.builder_from_directory(str(folder))
    scans = list(
      summaries(list(builder.info.splits), lambda s: builder.as_data_source(split=s))
    )
  except (json.JSONDecodeError, OSError, RuntimeError, IndexError) as error:
    sentence = f'{folder} cannot be read, it is damaged: {error}'
    return [], [Finding('', ' '.join(sentence.split()))]
  return scans, findings(scans, stored_manifest)


def findings(
  scans: Sequence[ScanSummary], stored_manifest: dict[str, Any]
) -> list[Finding]:
  """Lists the problems of a data set, from the summaries of its scans.

  Problems are: scans that were left out or are absent, records that differ from the
  manifest (the list of all scans with their hashes), subjects in two splits, duplicate
  scans, a wrong orientation, and outliers in brain volume, intensity or similarity with
  the template.

  Args:
    scans: Summaries of all scans.
    stored_manifest: The manifest of the data set, see `manifest.make`.
  """
  skipped, absent = (stored_manifest.get(key, ()) for key in ('skipped', 'absent'))
  return [
    *(Finding('', f'left out: {sentence}') for sentence in skipped),
    *(Finding('', f'absent: {sentence}') for sentence in absent),
    *_files(scans, stored_manifest),
    *_leaks(scans),
    *_duplicates(scans),
    *_orientation(scans),
    *_outliers(scans),
  ]


def _files(scans, stored_manifest) -> Iterator[Finding]:
  """Differences between the records and the manifest."""
  volumes = {
    (v['subject'], v['session'], v['split']): v
    for v in stored_manifest.get('volumes', [])
  }
  for scan in scans:
    volume = volumes.pop((scan.subject, scan.session, scan.split), None)
    if volume is None:
      yield Finding(scan.name, f'is in {scan.split} but not in the manifest')
    elif 'records' in volume and volume['records'] != scan.sha256:
      yield Finding(scan.name, 'has other records than the manifest tells')
  for subject, session, split in volumes:  # those without records
    name = ' '.join(filter(None, (subject, session)))
    yield Finding(name, f'is in the manifest but not in {split}')


def _leaks(scans) -> Iterator[Finding]:
  """Subjects with sessions in two splits."""
  first_splits = {}
  for scan in scans:
    first = first_splits.setdefault(scan.subject, scan.split)
    if first.split('_')[0] != scan.split.split('_')[0]:
      yield Finding(scan.name, f'is in {scan.split}, and its subject also in {first}')


def _duplicates(scans) -> Iterator[Finding]:
  """Pairs of scans with the same or almost the same content; in two splits, a leak."""
  thumbnails = np.stack([s.thumbnail for s in scans]) if scans else np.zeros((0, 1))
  for i, first in enumerate(scans):
    correlations = thumbnails[i + 1 :] @ thumbnails[i] / 3
    for second in (scans[i + 1 + j] for j in np.flatnonzero(correlations > SAME)):
      if first.subject == second.subject and first.pathology != second.pathology:
        continue  # a scan with lesions and its lesion-free twin
      verb = 'is' if first.sha256 == second.sha256 else 'looks'
      splits = f'{first.split} and {second.split}'
      leak = '' if first.split == second.split else f', in {splits}: leak'
      yield Finding(second.name, f'{verb} the same as {first.name}{leak}')


def _orientation(scans) -> Iterator[Finding]:
  """Scans that fit the template better when flipped."""
  for scan in scans:
    if scan.turned:
      yield Finding(scan.name, f'fits the template better {scan.turned}')


def _outliers(scans) -> Iterator[Finding]:
  """Scans with an unusual brain volume, or far from the median in any number."""
  for scan in scans:
    volume = scan.numbers['brain volume in ml']
    if not VOLUME[0] <= volume <= VOLUME[1]:
      low, high = VOLUME
      yield Finding(
        scan.name, f'has a brain of {volume:.0f} ml; usual are {low:.0f} to {high:.0f}'
      )
  if len(scans) < 5:
    return
  for name in sorted({n for scan in scans for n in scan.numbers}):
    measured = [scan for scan in scans if name in scan.numbers]
    values = np.array([scan.numbers[name] for scan in measured])
    median = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - median)) + 0.01 * abs(median)
    for scan, value in zip(measured, values, strict=True):
      if abs(value - median) > FAR * spread:
        yield Finding(scan.name, f'has {name} {value:.4g}; the median is {median:.4g}')
