"""Functions that read the stored evaluations of finished runs from the run folders."""

import json
import pathlib
import re
from collections.abc import Mapping
from typing import NamedTuple

from uad_jax.report.atomic_files import read_json

TOTAL = re.compile(r'^Total: ([\d,]+)', re.MULTILINE)
"""Line with the number of parameters in clu's overview, parameters.txt."""


class FinishedRun(NamedTuple):
  """Results and other stored facts about the evaluation of one finished run.

  A run has one evaluation, and one more for each of its variants. A variant is the same
  trained model, evaluated with other inference settings.

  Attributes:
    name: Method name in the tables.
    variant: Name of the variant; '' for the run without variant.
    seed: Seed of the training.
    summary: Content of results.json.
    training: Content of training.json (steps, seconds); empty if nothing was trained.
    model: Content of model.json (shape, preprocessing, data).
    parameters: Number of trained parameters; None if unknown.
    folder: Folder of the evaluation.
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
    """Name of the scorer (kind of anomaly map) that was chosen on validation data."""
    return self.summary['default']


def parameters(folder: pathlib.Path) -> int | None:
  """Reads the number of trained parameters from parameters.txt; None if unknown."""
  path = folder / 'parameters.txt'
  total = TOTAL.search(path.read_text()) if path.exists() else None
  return int(total[1].replace(',', '')) if total else None


def read(folder: pathlib.Path) -> list[FinishedRun]:
  """Reads the evaluations of a run and of its variants from the run folder."""
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
