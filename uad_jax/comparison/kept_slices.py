"""Functions that store a few example slices of a run in docs/, as 8-bit npz files.

The picture that compares all methods is drawn from these files, as the tables are from
`records`, so a method can be added on a machine that does not have the other runs.
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
"""Names of the arrays that are stored of each slice, for `side_by_side.draw`."""


class Exhibit(NamedTuple):
  """Example slices of one run, stored for the picture that compares all methods.

  Attributes:
    name: Method name in the tables.
    seeds: The single seed of the run.
    config: Hash of the run's config.
    scorer: Scorer whose anomaly map is shown.
    titles: Title above each scan, by name of the scan.
    cases: One example slice for each scan, in the order of `titles`.
  """

  name: str
  seeds: tuple[int, ...]
  config: str
  scorer: str
  titles: Mapping[str, str]
  cases: Sequence[Case]


def write(path: pathlib.Path, exhibit: Exhibit) -> None:
  """Writes the example slices of a run to an npz file, with 8 bits per value.

  Each array is scaled so that 0 and 255 are its lowest and its highest value.

  Args:
    path: The npz file.
    exhibit: Example slices of the run.
  """
  description = exhibit._asdict()
  cases = description.pop('cases')
  arrays = {'told': np.array(json.dumps(description))}
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
  """Reads the example slices of a run from an npz file that `write` made.

  Of each example slice only `panels` are set.

  Raises:
    ValueError: The file is not of this kind, or is damaged.
  """
  try:
    with np.load(path) as file:
      arrays = dict(file)
    description = json.loads(str(arrays['told']))
    cases = [_case(arrays, number) for number in range(len(description['titles']))]
    description['seeds'] = tuple(description['seeds'])
    return Exhibit(**description, cases=cases)
  except (zipfile.BadZipFile, EOFError, ValueError, KeyError, TypeError) as error:
    raise ValueError(f'{path} is not a file of kept slices: {error}') from None


def _case(arrays: Mapping[str, np.ndarray], number: int) -> Case:
  """Restores the panels of example slice `number`."""
  panels = {}
  for name in PANELS:
    if f'{number}/{name}' in arrays:
      low, high = arrays[f'{number}/{name}/ends']
      panels[name] = low + (high - low) * arrays[f'{number}/{name}'] / np.float32(255)
  return Case(None, '', 0, np.nan, np.nan, panels)
