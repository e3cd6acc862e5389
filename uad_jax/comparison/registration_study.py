"""Study of the registration at test time: what its gate is worth, beside controls.

`field.rows` lists the rows, which differ in the field alone; `field.known_fields` the
tests on healthy scans. A record holds, for a run and a data set:

  method, seed, config, target
  stiffness    that of the rows without one in their name
  scans        number of test scans; `sick`: those with lesions; `validation`: healthy
               scans that set the thresholds
  rows         by row and metric (`measures.KEPT`, pathologies) the estimate
  differences  by row the AUPRC of the gated row minus that of the row, paired, with its
               interval for few subjects, its p-value and that after Holm
  lesions      by row and kind of lesion their number and mean recall at 5 %
  known        list of the tests with known fields
  age          correlations with age
  dose         strain in lesions by the height of the gate
  seconds      time of the study
"""

import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from uad_jax import experiment
from uad_jax.comparison.blind_spot_run import open_scans
from uad_jax.comparison.field import known_fields, lesions, measures, rows
from uad_jax.comparison.field.heads import Heads, Model, load
from uad_jax.comparison.record_lines import append, name_of, read
from uad_jax.evaluation.measure import MAP
from uad_jax.evaluation.postprocess import preset
from uad_jax.inference import make_infer, placed
from uad_jax.registry import hashed, plain
from uad_jax.trained_run import OpenRun, open_run

SWEEP = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Stiffnesses of the uniform and gated rows."""

DRAWS = 4
"""Draws of the displacement in the row with the uncertainty of the registration."""

PERCENT = 5
"""Threshold at which lesions are counted: percentage of healthy voxels above it."""


def model_of(opened: OpenRun) -> Model:
  """Prepares a run for the study.

  Raises:
    ValueError: The run has no scores 'multiscale' and 'multiscale_usual', or its
      method has no stiffness.
  """
  config = opened.config
  names = [rows.SCORE.removeprefix(MAP), rows.USUAL.removeprefix(MAP)]
  missing = [name for name in names if name not in config.scores]
  if missing or 'stiffness' not in config.method:
    raise ValueError(
      f'{opened.folder} is a run of {config.method.name}; the study needs one of '
      f'moment_registration with the scores {" and ".join(names)}'
    )
  scorers = experiment.make_scorers(config)
  maps = {name: scorers[name] for name in names}
  with_draws = config.copy_and_resolve_references()
  with_draws.method.draws = DRAWS
  shape = opened.state.stats['usual']['sum'].shape[1:]
  uncertain = experiment.make_method(with_draws, shape[:-1], shape[-1])
  params, stats = placed(opened.state.params, opened.state.stats)
  return Model(
    make_infer(opened.method, maps),
    params,
    stats,
    experiment.evaluation_key(config),
    config.batch_size,
    make_infer(uncertain, maps),
  )


def healthy_of(heads: Heads) -> Heads:
  """Returns the records without lesions, of the first healthy scan of each subject."""
  first: dict[str, str] = {}
  for name, subject, sick in zip(heads.names, heads.subjects, heads.sick, strict=True):
    if not sick:
      first.setdefault(str(subject), str(name))
  chosen = set(first.values())
  return heads.only([i for i, name in enumerate(heads.names) if str(name) in chosen])


def splits_of(opened: OpenRun, where: str) -> tuple[Heads, Heads]:
  """Reads the healthy validation scans and the test scans of a folder or data set.

  Both have lesion-free twins only if those of all test scans are known.
  """
  records, _ = open_scans(opened, where)
  splits = healthy_of(load(records('val'))), load(records('test'))
  if splits[1].has_twins:
    return splits
  return tuple(heads.without_twins() for heads in splits)


def record_of(
  opened: OpenRun, where: str, sweep: Sequence[float] = SWEEP
) -> dict[str, Any]:
  """Does the study of a run on one data set.

  Args:
    opened: Finished run of `moment_registration`.
    where: Folder or data set with the splits 'val' and 'test'.
    sweep: Stiffnesses.

  Returns:
    The numbers of a record, see the module docstring.
  """
  started = time.monotonic()
  model, config = model_of(opened), opened.config
  chain = preset(config.postprocess)
  stiffness = float(config.method.stiffness)
  sweep = sorted({*sweep, stiffness})
  validation, test = splits_of(opened, where)
  measured: dict[str, measures.Measured] = {}
  of_lesions: dict[str, Any] = {}
  pairs = zip(
    rows.rows_of(model, validation, stiffness, sweep),
    rows.rows_of(model, test, stiffness, sweep),
    strict=True,
  )
  for known, row in pairs:
    thresholds = measures.limits(known, validation, chain)
    measured[row.name] = measures.measured(row, test, thresholds, chain)
    listed = lesions.lesions_of(row, test, thresholds[PERCENT], chain)
    of_lesions[row.name] = lesions.by_kind(listed)
    auprc = measured[row.name].numbers['auprc']['value']
    print(f'{where}: {row.name}: AUPRC {auprc:.3f}', flush=True)
  healthy = healthy_of(test)
  return {
    'stiffness': stiffness,
    'scans': len(set(test.names.tolist())),
    'sick': len(set(test.names[test.sick].tolist())),
    'validation': len(set(validation.names.tolist())),
    'rows': {name: entry.numbers for name, entry in measured.items()},
    'differences': measures.differences(measured, rows.gated(stiffness)),
    'lesions': of_lesions,
    'known': list(known_fields.measure(model, healthy)),
    'age': known_fields.by_age(model, healthy),
    'dose': known_fields.dose_response(model, test.only(test.sick)),
    'seconds': round(time.monotonic() - started, 1),
  }


def study(
  folder: pathlib.Path, targets: Mapping[str, str], path: pathlib.Path
) -> list[dict[str, Any]]:
  """Studies a run on the data sets that have no record yet, and adds their records.

  Args:
    folder: Run folder of a finished run.
    targets: Folders or data sets by name.
    path: File of the records, one JSON object a line.

  Returns:
    All records of the file.
  """
  opened = open_run(folder)
  identity = {
    'method': name_of(opened.config),
    'seed': opened.config.seed,
    'config': hashed(plain(opened.config)),
  }
  for name, where in targets.items():
    wanted = {**identity, 'target': name}
    if not any(wanted.items() <= record.items() for record in read(path)):
      append(path, wanted | record_of(opened, where))
  return read(path)
