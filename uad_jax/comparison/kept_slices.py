"""What docs/ keeps of each run for the picture of all methods: a few slices, 8 bits.

As `records` for the tables: the picture is drawn from these files, so that a row can be
added where the other runs are not.
"""

import json
import pathlib
import zipfile
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from uad_jax.evaluation.cases import Case
from uad_jax.report import atomic_files

PANELS = ('image', 'mask', 'lesion', 'reconstruction', 'map')
"""What `side_by_side.draw` shows."""


class Exhibit(NamedTuple):
  """A run on a few scans.

  Attributes:
    name: Of the row.
    seeds: The one seed of the run.
    config: Fingerprint of its config.
    scorer: The map that is shown.
    titles: By name of a scan, what is written above it.
    cases: One for each scan.
  """

  name: str
  seeds: tuple[int, ...]
  config: str
  scorer: str
  titles: Mapping[str, str]
  cases: Sequence[Case]


def write(path: pathlib.Path, exhibit: Exhibit) -> None:
  """Writes an exhibit as an npz."""
  told = exhibit._asdict()
  cases = told.pop('cases')
  arrays = {'told': np.array(json.dumps(told))}
  for number, case in enumerate(cases):
    for name in PANELS:
      if name in case.panels:
        values = np.asarray(case.panels[name], np.float32)
        low, high = float(values.min()), float(values.max())
        levels = np.round((values - low) / max(high - low, 1e-12) * 255)
        arrays[f'{number}/{name}'] = levels.astype(np.uint8)
        arrays[f'{number}/{name}/ends'] = np.array([low, high], np.float32)
  path.parent.mkdir(parents=True, exist_ok=True)
  atomic_files.write_atomically(path, lambda file: np.savez_compressed(file, **arrays))


def read(path: pathlib.Path) -> Exhibit:
  """The exhibit of a file; its cases have panels and nothing else.

  Raises:
    ValueError: The file is no exhibit.
  """
  try:
    with np.load(path) as file:
      arrays = dict(file)
    told = json.loads(str(arrays['told']))
    cases = [_case(arrays, number) for number in range(len(told['titles']))]
    return Exhibit(**{**told, 'seeds': tuple(told['seeds'])}, cases=cases)
  except (zipfile.BadZipFile, EOFError, ValueError, KeyError, TypeError) as error:
    raise ValueError(f'{path} is no kept slices of a run: {error}') from None


def _case(arrays: Mapping[str, np.ndarray], number: int) -> Case:
  panels = {}
  for name in PANELS:
    if f'{number}/{name}' in arrays:
      low, high = arrays[f'{number}/{name}/ends']
      panels[name] = low + (high - low) * arrays[f'{number}/{name}'] / np.float32(255)
  return Case(None, '', 0, np.nan, np.nan, panels)
