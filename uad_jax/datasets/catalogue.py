"""All cohorts that there are, and which of them are prepared in a folder."""

import importlib
import json
import pathlib
import pkgutil
from typing import NamedTuple

from uad_jax import datasets
from uad_jax.data import manifest
from uad_jax.data.cohorts.cohort import Cohort


class StoredDataset(NamedTuple):
  """A data set that lies ready.

  Attributes:
    name: Of the builder.
    config: Of its config.
    folder: Where it lies.
    scans: Split to number of scans.
  """

  name: str
  config: str
  folder: pathlib.Path
  scans: dict[str, int]


def names() -> list[str]:
  """All data sets."""
  return sorted(m.name for m in pkgutil.iter_modules(datasets.__path__) if m.ispkg)


def module(name: str):
  """The builder's module of a data set."""
  if name not in names():
    raise ValueError(f"unknown dataset '{name}'; there are {', '.join(names())}")
  return importlib.import_module(f'uad_jax.datasets.{name}.{name}_dataset_builder')


def cohort(name: str) -> Cohort:
  """A cohort by its name."""
  found = getattr(module(name), 'COHORT', None)
  if found is None:
    able = [each.name for each in cohorts()]
    raise ValueError(
      f"'{name}' is no cohort of a provider; those are {', '.join(able)}"
    )
  return found


def cohorts() -> list[Cohort]:
  """All cohorts, healthy ones first."""
  found = [getattr(module(name), 'COHORT', None) for name in names()]
  return sorted(filter(None, found), key=lambda each: (not each.healthy, each.name))


def prepared(data_dir: str | pathlib.Path, name: str = '*') -> list[StoredDataset]:
  """The data sets that lie ready in a folder."""
  result = []
  for path in sorted(pathlib.Path(data_dir).glob(f'{name}/*/*/{manifest.NAME}')):
    try:
      volumes = manifest.read(str(path.parent))['volumes']
    except (json.JSONDecodeError, KeyError):
      volumes = []  # `check` says what is wrong with it
    scans: dict[str, int] = {}
    for volume in volumes:
      scans[volume['split']] = scans.get(volume['split'], 0) + 1
    config, owner = path.parent.parent, path.parent.parent.parent
    result.append(StoredDataset(owner.name, config.name, path.parent, scans))
  return result
