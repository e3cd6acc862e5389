"""Function that adapts a trained run to target scans, in a run folder of its own."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from uad_jax import parallel, prepared_data, run_folder
from uad_jax.data import mixing, reading
from uad_jax.datasets import option_checks
from uad_jax.few_shot.adapted_config import adapted_config, check_source
from uad_jax.few_shot.target_scans import check_target, target_data, test_split
from uad_jax.method import TARGET
from uad_jax.report.atomic_files import read_json
from uad_jax.trained_run import open_run


def adapt(
  run: str,
  adaptation: ConfigDict,
  source: str,
  workdir: str,
  subjects: int | None = None,
  draw: int = 0,
  changes: Mapping[str, Any] | None = None,
  allow_lesions: bool = False,
  scorers: Sequence[str] = (),
) -> str:
  """Adapts a trained model to target scans and evaluates it, in a new run folder.

  Args:
    run: Folder of the source run.
    adaptation: Config of the adaptation, as those in configs/adapt.
    source: Folder or data set of healthy target scans.
    workdir: Folder of the adapted run.
    subjects: Number of target subjects to use; all by default.
    draw: Seed by which they are drawn.
    changes: Options of the data set, see `evaluation_data`.
    allow_lesions: Accept target scans with lesion masks.
    scorers: Names of the anomaly maps to evaluate; all by default.

  Returns:
    The result table and the path of the report, as text.

  Raises:
    FileNotFoundError: The source run lacks a file.
    ValueError: The target scans do not fit, or an option is not possible.
  """
  opened = open_run(run)
  check_source(opened)
  target, builder = target_data(opened, source, changes or {}, adaptation.histogram)
  terms = {TARGET: (mixing.Term(mixing.HOME, target.split),)}
  option_checks.check_splits({mixing.HOME: builder}, terms)
  test = test_split(builder.planned_splits(), target)
  prepared_data.prepare(builder)
  records = mixing.reader({mixing.HOME: builder})(target.split)
  if subjects is not None:
    records = reading.of_subjects(records, subjects, draw)
  if not allow_lesions:
    check_target(records, source)
  if test == target.split and parallel.leads():
    print(f'{source} has no test subjects: the report shows the scans adapted to')
  config = adapted_config(
    opened, adaptation, target, test, len(records), subjects, draw, scorers
  )
  text = run_folder.run(config, workdir)
  return f'{marked_line(pathlib.Path(workdir))}\n{text}'


def marked_line(folder: pathlib.Path) -> str:
  """Formats the share of the target scans that the adapted run marks, at 5 %."""
  results = read_json(folder / 'results.json')
  described = results['healthy_validation']
  mean, highest = described['marked'][results['default']]['5']
  return (
    f'{results["default"]} marks {100 * mean:.1f} % (at most {100 * highest:.1f} %) of '
    f'the {described["scans"]} scans adapted to, at the threshold of 5 %'
  )
