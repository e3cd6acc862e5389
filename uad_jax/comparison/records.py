"""What docs/ keeps of each run of the tables: small, in text, and there in every clone.

Run folders are large and stay on the machine that made them. A record is the part of
one that docs/results.md shows: docs/runs/SUITE.jsonl has a line for each evaluation of
a run, or of the mean of several runs whose folders are gone. The page is rendered from
records alone, so that a row can be added on another machine and another day.
"""

import base64
import json
import pathlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from uad_jax import registry
from uad_jax.comparison import paired_differences
from uad_jax.comparison.finished_runs import FinishedRun
from uad_jax.evaluation.bootstrap import percentiles, resample
from uad_jax.evaluation.metrics import POOLED
from uad_jax.evaluation.sample import load
from uad_jax.report.atomic_files import write_text
from uad_jax.report.tables import COLUMNS, Estimate, estimates

HONEST = 'atlas'
"""The row without a network that knows most: mean and deviation of each voxel."""

METRIC = COLUMNS[0].metric
"""The metric by which methods are compared."""

LEVELS = 2**16 - 1

TESTED = ('scans', 'subjects', 'diseased')


class Record(NamedTuple):
  """One evaluation, of one training or averaged over several.

  Attributes:
    name: Of the row.
    variant: '' for the run's own.
    seeds: Of the trainings; where there are several, all numbers are their means.
    config: Fingerprint of the config with the first of the seeds.
    data: 'digest'; how many of each in `TESTED` there were; 'honest', the AUPRC that
      the honest row gets on these data, None where it was not run beside.
    default: The map that was chosen on validation data.
    parameters: How many were trained; None where the run does not tell.
    training: '48 subjects, 480 slices'; None where the run does not tell.
    steps: Of the training.
    minutes: Of the training; None where it was interrupted or never timed.
    maps: By scorer and metric of `COLUMNS`, the estimates.
    draws: AUPRC of the chosen map in each resample of the subjects, as `packed` writes
      it; '' for a variant and for a mean of several trainings.
    over: Of such a mean, AUPRC over the honest row's; else None, see `gap`.
    rivals: Of a run with variants, what it has to beat within its own training; of a
      mean also other methods.
  """

  name: str
  variant: str
  seeds: tuple[int, ...]
  config: str
  data: Mapping[str, str | int | float | None]
  default: str
  parameters: int | None
  training: str | None
  steps: int
  minutes: float | None
  maps: Mapping[str, Mapping[str, Estimate]]
  draws: str
  over: Estimate | None
  rivals: Sequence[paired_differences.Rival]


def training_data(model: Mapping) -> str | None:
  """'48 subjects, 480 slices' by the card of a model."""
  told = model.get('training')
  if not told:
    return None
  kind = 'slices' if len(model['shape']) == 2 else 'volumes'
  return f'{told["subjects"]} subjects, {told["records"]} {kind}'


def maps_of(summary: Mapping) -> dict[str, dict[str, Estimate]]:
  """By scorer and metric, what the tables show of a summary."""
  metrics = {column.title: column.metric for column in COLUMNS}
  return {
    scorer: {
      metrics[title]: paired_differences.estimate((found['value'], *found['interval']))
      for title, found in estimates(summary, scorer).items()
    }
    for scorer in summary['scorers']
  }


def of(runs: Sequence[FinishedRun]) -> list[Record]:
  """The records of the runs of one data set."""
  found, by_name = [], defaultdict(list)
  for run in runs:
    by_name[run.name].append(run)
  honest = {
    run.summary['run']['manifest']: paired_differences.auprc(run, run.default)
    for run in by_name[HONEST]
  }
  for run in runs:
    digest = run.summary['run']['manifest']
    data = {name: run.summary['data'][name] for name in TESTED}
    found.append(
      Record(
        name=run.name,
        variant=run.variant,
        seeds=(run.seed,),
        config=registry.hashed(run.summary['run']['config']),
        data={'digest': digest, **data, 'honest': honest.get(digest)},
        default=run.default,
        parameters=run.parameters,
        training=training_data(run.model),
        steps=run.training.get('steps', 0),
        minutes=round(run.training.get('seconds', 0) / 60, 2),
        maps=maps_of(run.summary),
        draws='' if run.variant else draws_of(run),
        over=None,
        rivals=paired_differences.own(run, runs),
      )
    )
  return found


def draws_of(run: FinishedRun) -> str:
  """The `packed` AUPRC of a run's chosen map in each resample of the subjects."""
  sample = load(run.folder / 'evaluation.npz')[run.default]
  return packed(resample(POOLED[METRIC], sample))


def packed(draws: np.ndarray) -> str:
  """Values in [0, 1] as text: 16 bits each, '' where any is undefined."""
  if not np.isfinite(draws).all():
    return ''
  return base64.b64encode(np.round(draws * LEVELS).astype('<u2').tobytes()).decode()


def unpacked(text: str) -> np.ndarray:
  """The values of `packed`, to 1 / 131 070."""
  return np.frombuffer(base64.b64decode(text), '<u2') / LEVELS


def gap(a: Record, b: Record) -> Estimate | None:
  """AUPRC of the chosen map of one record minus another's, by the same resamples.

  None where one of them has no draws.
  """
  if not a.draws or not b.draws:
    return None
  one, other = (r.maps[r.default][METRIC]['value'] for r in (a, b))
  draws = unpacked(a.draws) - unpacked(b.draws)
  return paired_differences.estimate(percentiles(one - other, draws))


def merge(kept: Sequence[Record], fresh: Sequence[Record]) -> list[Record]:
  """The kept records, those replaced whose seeds have all been run afresh.

  A fresh record of a seed that stays in a mean over several is left out: it would count
  twice.
  """
  seeds = defaultdict(set)
  for record in fresh:
    seeds[record.name, record.variant].update(record.seeds)
  stay = [r for r in kept if not {*r.seeds} <= seeds[r.name, r.variant]]
  held = defaultdict(set)
  for record in stay:
    held[record.name, record.variant].update(record.seeds)
  return stay + [r for r in fresh if not held[r.name, r.variant] & {*r.seeds}]


def read(path: pathlib.Path) -> list[Record]:
  """The records of a file; none where there is no file.

  Raises:
    ValueError: A line is no record.
  """
  found = []
  lines = path.read_text().splitlines() if path.exists() else []
  for number, line in enumerate(lines, 1):
    try:
      told = json.loads(line)
      told['seeds'] = tuple(told['seeds'])
      told['rivals'] = [paired_differences.Rival(*rival) for rival in told['rivals']]
      found.append(Record(**told))
    except (ValueError, TypeError, KeyError) as error:
      raise ValueError(f'{path}, line {number}, is no record: {error}') from None
  return found


def write(path: pathlib.Path, records: Sequence[Record]) -> None:
  """Writes the records, a line each."""
  path.parent.mkdir(parents=True, exist_ok=True)
  write_text(path, ''.join(f'{json.dumps(r._asdict())}\n' for r in records))
