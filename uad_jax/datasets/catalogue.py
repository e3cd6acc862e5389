"""Functions that list the data sets that can be built or are already prepared."""

import importlib
import json
import pathlib
import pkgutil
from typing import NamedTuple

from uad_jax import datasets
from uad_jax.data import manifest
from uad_jax.data.cohorts.cohort import Cohort
from uad_jax.ops.choices import check_choice


class StoredDataset(NamedTuple):
  """Description of one prepared data set: its name, config, folder and scan counts.

  A data set is prepared when its scans are preprocessed and stored as TFDS records.

  Attributes:
    name: Name of the TFDS builder.
    config: Name of the TFDS config.
    folder: Folder of the records and the manifest.
    scans: Split to number of scans; {} if the manifest is damaged.
    source: Folder of the original scans, an absolute path; '' for a cohort of a
      provider, whose prepared data do not depend on their folder.
  """

  name: str
  config: str
  folder: pathlib.Path
  scans: dict[str, int]
  source: str = ''


def names() -> list[str]:
  """Returns the names of all data sets that can be built."""
  return sorted(m.name for m in pkgutil.iter_modules(datasets.__path__) if m.ispkg)


def module(name: str):
  """Imports the Python module that holds the TFDS builder of a data set.

  The module has a function `open_builder`.

  Raises:
    ValueError: No data set has this name.
  """
  check_choice('dataset', name, names())
  return importlib.import_module(f'uad_jax.datasets.{name}.{name}_dataset_builder')


def cohort(name: str) -> Cohort:
  """Returns the description of the public data set (cohort) with a given name.

  Raises:
    ValueError: No data set has this name, or it is not a cohort of a provider.
  """
  description = getattr(module(name), 'COHORT', None)
  if description is None:
    allowed = ', '.join(known.name for known in cohorts())
    raise ValueError(f"'{name}' is no cohort of a provider; those are {allowed}")
  return description


def cohorts() -> list[Cohort]:
  """Returns the descriptions of all public data sets (cohorts).

  Those of healthy subjects come first; each group is sorted by name.
  """
  everything = [getattr(module(name), 'COHORT', None) for name in names()]
  return sorted(filter(None, everything), key=lambda c: (not c.healthy, c.name))


def prepared(data_dir: str | pathlib.Path, name: str = '*') -> list[StoredDataset]:
  """Lists the data sets that are already prepared in a folder.

  Args:
    data_dir: Folder of the prepared data sets.
    name: Name of a data set, or a glob pattern of names.

  Returns:
    Data sets in the order of their paths.
  """
  result = []
  for path in sorted(pathlib.Path(data_dir).glob(f'{name}/*/*/{manifest.NAME}')):
    try:
      content = manifest.read(str(path.parent))
      volumes, source = content['volumes'], content.get('config', {}).get('source', '')
    except (json.JSONDecodeError, KeyError):
      # Damaged; `python -m uad_jax.prepare check` reports it.
      volumes, source = [], ''
    scans: dict[str, int] = {}
    for volume in volumes:
      scans[volume['split']] = scans.get(volume['split'], 0) + 1
    config, dataset = path.parent.parent, path.parent.parent.parent
    result.append(StoredDataset(dataset.name, config.name, path.parent, scans, source))
  return result
