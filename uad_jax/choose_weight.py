"""Command that chooses the total variation weight of the scorer `restoration`.

  python -m uad_jax.choose_weight --checkpoint=runs/gmvae --batches=4

The rule is that of You et al., MIDL 2019 (see `scores.restoration`): healthy scans of
the run's validation split are restored with every candidate weight, and the best weight
changes them least. The mean change for each candidate is printed, and stored in the run
folder as restoration_weight.json. The scorer's other options are taken from its row in
the run's config (`config.scores`); --variant and --steps replace them.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from uad_jax import cli, parallel, prepared_data
from uad_jax import experiment as experiments
from uad_jax.data import mixing, pipeline
from uad_jax.inference import placed
from uad_jax.method import SEEN, bind
from uad_jax.progress import Progress
from uad_jax.registry import plain, without
from uad_jax.report import atomic_files
from uad_jax.report.tables import markdown
from uad_jax.scores import restoration
from uad_jax.trained_run import open_run

FLAGS = flags.FLAGS
SCORER = 'restoration'
RESULT = 'restoration_weight.json'
"""Name of the result file in the run folder."""


def restoration_rows(
  config: ConfigDict, row: str = ''
) -> tuple[list[str], dict[str, Any]]:
  """Finds the entries of `config.scores` that can use the same total variation weight.

  They use the scorer `restoration` with the same options, except weight and sign.

  Args:
    config: Config of a run.
    row: Key of `config.scores` with the scorer `restoration`; the first one when empty.

  Returns:
    Keys of `row` and of all entries that differ from it in weight and sign only, and
    their common options; both empty if the config does not use the scorer.

  Raises:
    ValueError: There is no such row.
  """
  rows = {
    name: without(options, 'scorer', 'weight', 'sign')
    for name, options in plain(config.scores).items()
    if options['scorer'] == SCORER
  }
  if row and row not in rows:
    names = ', '.join(rows) or 'none'
    raise ValueError(
      f"the run has no row '{row}' of the scorer {SCORER}; there are {names}"
    )
  if not rows:
    return [], {}
  row = row or next(iter(rows))
  alike = [name for name in rows if name != row and rows[name] == rows[row]]
  return [row, *alike], rows[row]


def healthy_batches(config: ConfigDict, count: int = 0, kept: str = '') -> list[dict]:
  """Reads batches of healthy validation scans, evenly spread over the split.

  Args:
    config: Config of a run.
    count: Number of batches; 0 for all.
    kept: Names of the prepared data sets that the run began with, see
      `prepared_data.make_builder`.

  Returns:
    Batches, dicts of numpy arrays with the keys `method.SEEN`.
  """
  records = mixing.reader(prepared_data.open_data(config.data, kept))(config.data.val)
  batches = list(pipeline.ordered_batches(records, config.batch_size))
  count = min(count, len(batches)) or len(batches)
  spread = [batches[int((i + 0.5) * len(batches) / count)] for i in range(count)]
  return [{name: batch[name] for name in SEEN} for batch in spread]


def choose(
  folder: pathlib.Path,
  row: str = '',
  weights: Sequence[float] = (),
  count: int = 0,
  **changes,
) -> dict[str, Any]:
  """Chooses the total variation weight for a run and stores it in the run folder.

  Args:
    folder: Run folder of a finished run.
    row: Key of `config.scores` with the scorer `restoration`; the first one when empty.
    weights: Candidates; when empty the published candidates of the variant, scaled for
      the scorer's option `prior`.
    count: Number of batches of healthy scans; 0 for all.
    **changes: Options of the scorer that replace those of the config.

  Returns:
    Content of the stored file: 'rows' (keys of `config.scores` that the weight is for),
    'options' of the scorer, 'split', number of 'batches', 'step' of the checkpoint,
    'best' weight, and 'distances', pairs of a weight and its mean |y - x*| over brain
    voxels, with scan y and restored scan x*.
  """
  opened = open_run(folder)
  config, state = opened.config, opened.state
  rows, options = restoration_rows(config, row)
  options |= changes
  variant = options.get('variant', restoration.VARIANTS[0])
  weights = weights or restoration.candidates(variant, options.get('prior', 1.0))
  devices = parallel.local_mesh()
  parallel.check_batch_size(config.batch_size, devices)
  batches = healthy_batches(config, count, opened.card.get('data', ''))
  progress = Progress(len(weights) * len(batches), 'choose_weight')
  best, distances = restoration.choose_weight(
    bind(opened.method, *placed(state.params, state.stats)),
    (parallel.shard(batch, devices) for batch in batches),
    experiments.evaluation_key(config),
    weights,
    progress.update,
    **options,
  )
  progress.close()
  result = {
    'rows': rows,
    'options': options,
    'split': config.data.val,
    'batches': len(batches),
    'step': int(state.step),
    'best': best,
    'distances': [[weight, value] for weight, value in distances.items()],
  }
  if parallel.leads():
    atomic_files.write_text(folder / RESULT, json.dumps(result, indent=1))
  return result


def summary(result: dict[str, Any]) -> str:
  """Returns a text with the mean change for each weight, the best weight and its flags.

  Args:
    result: Result of `choose`.
  """
  best, candidates = result['best'], [weight for weight, _ in result['distances']]
  rows = [[f'{weight:g}', f'{value:.4g}'] for weight, value in result['distances']]
  lines = [markdown(('weight', 'mean |y - x*|'), rows), '', f'best: {best:g}']
  if best in (min(candidates), max(candidates)):
    lines.append('It is at the end of the candidates; --weights gives others.')
  lines += [f'--config.scores.{row}.weight={best:g}' for row in result['rows']]
  if not result['rows']:
    options = {'scorer': SCORER, 'weight': best, **result['options']}
    row = ', '.join(f'{name}={value!r}' for name, value in options.items())
    lines.append(f'The run has no such row; config.scores.{SCORER} = dict({row})')
  return '\n'.join(lines)


def main(_: list[str]) -> None:
  """Chooses the total variation weight for a run and prints a summary.

  The flag `--checkpoint` names the run folder.
  """
  changes = {'variant': FLAGS.variant, 'steps': FLAGS.steps}
  changes = {name: value for name, value in changes.items() if value}
  weights = tuple(float(weight) for weight in FLAGS.weights)
  folder = pathlib.Path(FLAGS.checkpoint)
  result = choose(folder, FLAGS.score, weights, FLAGS.batches, **changes)
  if parallel.leads():
    print(summary(result))


def define_flags() -> None:
  """Defines the command-line flags of this command."""
  flags.DEFINE_string('checkpoint', None, 'Run folder of a finished run.')
  flags.DEFINE_string('score', '', f'Row of the scorer {SCORER}; the first when empty.')
  flags.DEFINE_list('weights', [], "Candidates; the variant's published ones if empty.")
  flags.DEFINE_integer('batches', 0, 'Number of batches; 0 for all.', lower_bound=0)
  flags.DEFINE_string('variant', '', f'One of {", ".join(restoration.VARIANTS)}.')
  flags.DEFINE_integer(
    'steps', 0, 'Steps of a restoration; 0 for those of the row.', lower_bound=0
  )
  flags.mark_flags_as_required(['checkpoint'])


if __name__ == '__main__':
  define_flags()
  cli.run(main)
