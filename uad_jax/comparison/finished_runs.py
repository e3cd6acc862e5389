"""What finished runs left on disk, as the tables of docs/results.md read it."""

import json
import pathlib
import re
from collections.abc import Mapping
from typing import NamedTuple

from uad_jax.report.atomic_files import read_json

TOTAL = re.compile(r'^Total: ([\d,]+)', re.MULTILINE)
"""Where clu's overview of the parameters says how many there are."""


class FinishedRun(NamedTuple):
  """One stored evaluation: a run's own, or that of a variant.

  Attributes:
    name: Of the row.
    variant: '' for the run's own.
    seed: Of the training.
    summary: results.json.
    training: training.json: steps, seconds; empty where nothing was trained.
    model: model.json: shape, preprocessing, data.
    parameters: How many the run trained; None where it does not tell.
    folder: Where the evaluation lies.
  """

  name: str
  variant: str
  seed: int
  summary: Mapping
  training: Mapping
  model: Mapping
  parameters: int | None
  folder: pathlib.Path

  @property
  def default(self) -> str:
    """The map that was chosen on validation data."""
    return self.summary['default']


def parameters(folder: pathlib.Path) -> int | None:
  """The number of parameters of a run."""
  path = folder / 'parameters.txt'
  found = TOTAL.search(path.read_text()) if path.exists() else None
  return int(found[1].replace(',', '')) if found else None


def read(folder: pathlib.Path) -> list[FinishedRun]:
  """The evaluations of a run folder."""
  row = json.loads((folder / 'row.json').read_text())
  config = json.loads((folder / 'config.json').read_text())
  training, model = (read_json(folder / f'{n}.json') for n in ('training', 'model'))
  places = [('', folder)] + [(v, folder / 'variants' / v) for v in config['variants']]
  return [
    FinishedRun(
      row['name'],
      variant,
      row['seed'],
      json.loads((place / 'results.json').read_text()),
      training,
      model,
      parameters(folder),
      place,
    )
    for variant, place in places
  ]
