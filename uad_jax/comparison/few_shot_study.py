"""Functions that adapt runs to target scans in many ways; each trial is done once."""

import functools
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from uad_jax.comparison.few_shot_record import BARE, Target, Trial, record_of
from uad_jax.comparison.record_lines import append, name_of, read
from uad_jax.few_shot.adapt import adapt
from uad_jax.few_shot.adapted_config import read_adaptation
from uad_jax.few_shot.target_scans import with_estimated_masks
from uad_jax.other_cohort import evaluated
from uad_jax.registry import plain
from uad_jax.report.atomic_files import read_json
from uad_jax.trained_run import open_run

UNTARGETED = ('histogram',)
"""Adaptations that use no target scan, and are tried once."""


def trials(
  adaptations: Sequence[str], counts: Sequence[int], draws: int
) -> list[Trial]:
  """Lists the trials of a study, beginning with that without adaptation.

  Args:
    adaptations: Names of the adaptations, see `Trial`.
    counts: Numbers of target subjects.
    draws: Number of draws of the subjects.
  """
  listed = [Trial(BARE, 0, 0)]
  for name in adaptations:
    if name in UNTARGETED:
      listed.append(Trial(name, 0, 0))
      continue
    listed += [Trial(name, k, draw) for k in counts for draw in range(draws)]
  return listed


def attempt(
  run: pathlib.Path, target: Target, trial: Trial, workdir: pathlib.Path
) -> dict[str, Any]:
  """Does one trial and returns its record.

  All brain masks are estimated, those of the trial without adaptation as well.

  Args:
    run: Folder of the source run.
    target: Target scans.
    trial: Adaptation, number of subjects and draw.
    workdir: Folder of the adapted run.
  """
  started = time.monotonic()
  data = plain(open_run(run).config.data)
  test_of = functools.partial(with_estimated_masks, data, changes={'split': 'test'})
  scorer = read_json(run / 'results.json')['default']
  if trial.adaptation == BARE:
    place, adapted = evaluated(run, target.source, test_of(target.source)), run
  else:
    adapt(
      str(run),
      read_adaptation(trial.adaptation),
      target.source,
      str(workdir),
      trial.subjects or None,
      trial.draw,
      scorers=(scorer,),
    )
    place = adapted = workdir
  home = evaluated(adapted, target.home, test_of(target.home))
  seconds = round(time.monotonic() - started, 1)
  return record_of(run, target, trial, place, home, seconds)


def key_of(record: Mapping[str, Any]) -> tuple:
  """Returns the entries of a record that tell its trial."""
  names = ('method', 'seed', 'adaptation', 'target', 'subjects', 'draw')
  return tuple(record[name] for name in names)


def label_of(run: pathlib.Path, target: str, trial: Trial) -> str:
  """Returns the name of the run folder of a trial.

  Args:
    run: Folder of the source run.
    target: Name of the target.
    trial: Adaptation, number of subjects and draw.
  """
  config = read_json(run / 'config.json')
  parts = (name_of(config).replace(', ', '_'), config['seed'], trial.adaptation, target)
  return '-'.join(map(str, (*parts, *trial[1:]))).replace(':', '_')


def study(
  run: pathlib.Path,
  target: Target,
  wanted: Sequence[Trial],
  path: pathlib.Path,
  workdirs: pathlib.Path,
) -> list[dict[str, Any]]:
  """Does the trials that have no record yet, and adds their records to a file.

  Args:
    run: Folder of the source run.
    target: Target scans.
    wanted: Trials, from `trials`.
    path: File of the records.
    workdirs: Folder of the adapted runs.

  Returns:
    All records of the file.
  """
  config = open_run(run).config
  for number, trial in enumerate(wanted, 1):
    fields = (name_of(config), config.seed, trial.adaptation, target.name)
    key = (*fields, trial.subjects, trial.draw)
    if key in map(key_of, read(path)):
      continue
    print(f'trial {number}/{len(wanted)}: {target.name} {trial}', flush=True)
    folder = workdirs / label_of(run, target.name, trial)
    record = attempt(run, target, trial, folder)
    append(path, record)
  return read(path)
