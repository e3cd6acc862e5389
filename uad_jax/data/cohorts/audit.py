"""What is wrong with a prepared data set: its files, its subjects, its scans."""

import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from uad_jax.data import manifest
from uad_jax.data.cohorts.look import Look, looks

SAME = 0.9995
"""Correlation of thumbnails from which two scans count as one and the same."""

FAR = 5.0
"""Robust deviations from the median (1.4826 MAD) from which a scan is an outlier."""

VOLUME = (700.0, 2300.0)
"""Millilitres between which an adult's brain lies."""


class Finding(NamedTuple):
  """A sentence about a scan (its name), or about the data set ('')."""

  scan: str
  sentence: str


def run(folder: str | pathlib.Path) -> tuple[list[Look], list[Finding]]:
  """Looks at every scan of a prepared data set and tells what is wrong."""
  try:
    told = manifest.read(str(folder))
    builder = tfds.builder_from_directory(str(folder))
    seen = list(
      looks(list(builder.info.splits), lambda s: builder.as_data_source(split=s))
    )
  except (json.JSONDecodeError, OSError, RuntimeError, IndexError) as error:
    sentence = f'{folder} cannot be read, it is damaged: {error}'
    return [], [Finding('', ' '.join(sentence.split()))]
  return seen, findings(seen, told)


def findings(seen: Sequence[Look], told: dict[str, Any]) -> list[Finding]:
  """All that is wrong, by the looks at the scans and the manifest."""
  return [
    *(Finding('', f'left out: {sentence}') for sentence in told.get('skipped', ())),
    *(Finding('', f'absent: {sentence}') for sentence in told.get('absent', ())),
    *_files(seen, told),
    *_leaks(seen),
    *_doubles(seen),
    *_orientation(seen),
    *_outliers(seen),
  ]


def _files(seen, told) -> Iterator[Finding]:
  volumes = {(v['subject'], v['session'], v['split']): v for v in told['volumes']}
  for look in seen:
    stored = volumes.pop((look.subject, look.session, look.split), None)
    if stored is None:
      yield Finding(look.name, f'is in {look.split} but not in the manifest')
    elif 'records' in stored and stored['records'] != look.sha256:
      yield Finding(look.name, 'has other records than the manifest tells')
  for subject, session, split in volumes:
    name = ' '.join(filter(None, (subject, session)))
    yield Finding(name, f'is in the manifest but not in {split}')


def _leaks(seen) -> Iterator[Finding]:
  home = {}
  for look in seen:
    first = home.setdefault(look.subject, look.split)
    if first.split('_')[0] != look.split.split('_')[0]:
      yield Finding(look.name, f'is in {look.split}, and its subject also in {first}')


def _doubles(seen) -> Iterator[Finding]:
  """Pairs of scans of one content; those of two subjects in two splits leak."""
  thumbnails = np.stack([look.thumbnail for look in seen]) if seen else np.zeros((0, 1))
  for i, one in enumerate(seen):
    alike = thumbnails[i + 1 :] @ thumbnails[i] / 3
    for two in (seen[i + 1 + j] for j in np.flatnonzero(alike > SAME)):
      if one.subject == two.subject and one.pathology != two.pathology:
        continue  # a scan with lesions and its healthy twin
      how = 'is the same as' if one.sha256 == two.sha256 else 'looks the same as'
      leak = '' if one.split == two.split else f', in {one.split} and {two.split}: leak'
      yield Finding(two.name, f'{how} {one.name}{leak}')


def _orientation(seen) -> Iterator[Finding]:
  for look in seen:
    if look.turned:
      yield Finding(look.name, f'fits the template better {look.turned}')


def _outliers(seen) -> Iterator[Finding]:
  for look in seen:
    volume = look.numbers['brain volume in ml']
    if not VOLUME[0] <= volume <= VOLUME[1]:
      low, high = VOLUME
      yield Finding(
        look.name, f'has a brain of {volume:.0f} ml; usual are {low:.0f} to {high:.0f}'
      )
  if len(seen) < 5:
    return
  for name in sorted({n for look in seen for n in look.numbers}):
    having = [look for look in seen if name in look.numbers]
    values = np.array([look.numbers[name] for look in having])
    middle = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - middle)) + 0.01 * abs(middle)
    for look, value in zip(having, values, strict=True):
      if abs(value - middle) > FAR * spread:
        yield Finding(look.name, f'has {name} {value:.4g}; the median is {middle:.4g}')
