"""The weight of a restoration, chosen on healthy scans by You et al.'s rule.

  python -m uad_jax.choose_weight --checkpoint=runs/gmvae --batches=4

Every candidate restores scans of the run's healthy validation split; the best changes
them least (You et al., MIDL 2019; see `scores.restoration`). The distances are printed
and kept in the run folder as restoration_weight.json. The options are those of the
run's row of the scorer `restoration`; --variant and --steps change them.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
from absl import flags
from ml_collections import ConfigDict

from uad_jax import cli, parallel
from uad_jax import experiment as experiments
from uad_jax.data import mixing, pipeline
from uad_jax.inference import SEEN, placed
from uad_jax.method import bind
from uad_jax.progress import Progress
from uad_jax.registry import plain, without
from uad_jax.report import atomic_files
from uad_jax.report.tables import markdown
from uad_jax.scores import restoration
from uad_jax.trained_run import read_json, restored

FLAGS = flags.FLAGS
SCORER = 'restoration'
KEPT = 'restoration_weight.json'


def rows_of(config: ConfigDict, row: str = '') -> tuple[list[str], dict[str, Any]]:
  """Rows of the scorer that restore alike, and how; without any an empty list.

  Args:
    config: Of a run.
    row: One of them, which comes first; the first of the scorer when empty.

  Raises:
    ValueError: There is no such row.
  """
  rows = {
    name: without(options, 'scorer', 'weight', 'sign')
    for name, options in plain(config.scores).items()
    if options['scorer'] == SCORER
  }
  if row and row not in rows:
    there = ', '.join(rows) or 'none'
    raise ValueError(
      f"the run has no row '{row}' of the scorer {SCORER}; there are {there}"
    )
  if not rows:
    return [], {}
  row = row or next(iter(rows))
  alike = [name for name in rows if name != row and rows[name] == rows[row]]
  return [row, *alike], rows[row]


def healthy(config: ConfigDict, count: int = 0) -> list[dict]:
  """`count` batches spread over the validation split, or all when 0."""
  records = mixing.reader(experiments.open_data(config.data))(config.data.val)
  found = list(pipeline.ordered_batches(records, config.batch_size))
  count = min(count, len(found)) or len(found)
  found = [found[int((i + 0.5) * len(found) / count)] for i in range(count)]
  return [{name: batch[name] for name in SEEN} for batch in found]


def choose(
  folder: pathlib.Path,
  row: str = '',
  weights: Sequence[float] = (),
  count: int = 0,
  **changes,
) -> dict[str, Any]:
  """The distance of each candidate and the best; kept in the run folder.

  Args:
    folder: A finished run.
    row: Of the run's scores; the first of the scorer when empty.
    weights: The candidates; when empty the published ones of the variant, at the
      scale of the row's `prior`.
    count: Batches of healthy scans; 0 for all.
    changes: Options of the scorer that replace the row's.
  """
  config = ConfigDict(read_json(folder / 'config.json', 'the config'))
  rows, options = rows_of(config, row)
  options |= changes
  variant = options.get('variant', restoration.VARIANTS[0])
  weights = weights or restoration.candidates(variant, options.get('prior', 1.0))
  devices = parallel.local_mesh()
  parallel.check_batch_size(config.batch_size, devices)
  method, state = restored(folder, config)
  batches = healthy(config, count)
  shown = Progress(len(weights) * len(batches), 'choose_weight')
  best, distances = restoration.choose_weight(
    bind(method, *placed(state.params, state.stats)),
    (parallel.shard(batch, devices) for batch in batches),
    jax.random.key(config.seed + 2),
    weights,
    shown.update,
    **options,
  )
  shown.close()
  found = {
    'rows': rows,
    'options': options,
    'split': config.data.val,
    'batches': len(batches),
    'step': int(state.step),
    'best': best,
    'distances': [[weight, value] for weight, value in distances.items()],
  }
  if parallel.leads():
    atomic_files.write_text(folder / KEPT, json.dumps(found, indent=1))
  return found


def told(found: dict[str, Any]) -> str:
  """The table, the best, and how to use it."""
  best, candidates = found['best'], [weight for weight, _ in found['distances']]
  rows = [[f'{weight:g}', f'{value:.4g}'] for weight, value in found['distances']]
  lines = [markdown(('weight', 'mean |y - x*|'), rows), '', f'best: {best:g}']
  if best in (min(candidates), max(candidates)):
    lines.append('It is at the end of the candidates; --weights gives others.')
  lines += [f'--config.scores.{row}.weight={best:g}' for row in found['rows']]
  if not found['rows']:
    options = {'scorer': SCORER, 'weight': best, **found['options']}
    row = ', '.join(f'{name}={value!r}' for name, value in options.items())
    lines.append(f'The run has no such row; config.scores.{SCORER} = dict({row})')
  return '\n'.join(lines)


def main(_: list[str]) -> None:
  """Chooses, and prints what was found."""
  changes = {'variant': FLAGS.variant, 'steps': FLAGS.steps}
  changes = {name: value for name, value in changes.items() if value}
  weights = tuple(float(weight) for weight in FLAGS.weights)
  folder = pathlib.Path(FLAGS.checkpoint)
  found = choose(folder, FLAGS.score, weights, FLAGS.batches, **changes)
  if parallel.leads():
    print(told(found))


def define_flags() -> None:
  """The flags of the command."""
  flags.DEFINE_string('checkpoint', None, 'Workdir of a finished run.')
  flags.DEFINE_string('score', '', f'Row of the scorer {SCORER}; the first when empty.')
  flags.DEFINE_list('weights', [], "Candidates; the variant's published ones if empty.")
  flags.DEFINE_integer('batches', 0, 'Batches of scans; 0 for all.', lower_bound=0)
  flags.DEFINE_string('variant', '', f'Of {", ".join(restoration.VARIANTS)}.')
  flags.DEFINE_integer('steps', 0, 'Steps of a restoration.', lower_bound=0)
  flags.mark_flags_as_required(['checkpoint'])


if __name__ == '__main__':
  define_flags()
  cli.run(main)
