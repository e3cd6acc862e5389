"""What the stored runs of all methods make of the same few scans, side by side.

Of each pathology the scan of median lesion volume is taken, so that no method's score
has a say in what is shown.
"""

import json
import pathlib
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import jax
from ml_collections import ConfigDict

from uad_jax import experiment as experiments
from uad_jax import registry
from uad_jax.comparison.kept_slices import Exhibit
from uad_jax.comparison.side_by_side import rarity
from uad_jax.data import pipeline
from uad_jax.evaluation.cases import Case, take_case
from uad_jax.evaluation.measure import scored
from uad_jax.evaluation.postprocess import preset
from uad_jax.evaluation.sample import Sample, load
from uad_jax.evaluation.scans import Scan, collect, lesion_in, scan_name
from uad_jax.experiment import Experiment
from uad_jax.inference import make_infer, placed, scans_of
from uad_jax.method import Scorer, State


def typical(scans: Iterable[Scan]) -> dict[str, str]:
  """By name of a scan, its title: of each pathology the one of median lesion volume.

  Of an even number it is the lower of the middle two; equal volumes are ordered by
  name.
  """
  found = defaultdict(list)
  for scan in scans:
    volume = float(lesion_in(scan.arrays).sum() * scan.voxel_ml)
    if volume:
      found[scan.pathology].append((volume, scan.name))
  chosen = {}
  for pathology, several in found.items():
    volume, name = sorted(several)[(len(several) - 1) // 2]
    chosen[name] = f'{pathology}, {volume:.2g} ml'
  return chosen


def seen_by(
  experiment: Experiment,
  state: State,
  scorer: str,
  score: Scorer,
  records: Sequence[Mapping],
  sample: Sample,
) -> dict[str, Case]:
  """By name of a scan, the slice with most lesion: what the method makes of it.

  Stochastic methods draw anew here: their maps are not those of the evaluation.

  Args:
    experiment: The run's.
    state: As trained.
    scorer: The name of the map.
    score: What makes it.
    records: Of the scans, in order.
    sample: Of the run's evaluation, by which the map is brought to a `rarity`.
  """
  config = experiment.config
  batches = pipeline.ordered_batches(records, config.batch_size)
  infer = make_infer(experiment.method, {scorer: score})
  given = infer, *placed(state.params, state.stats), jax.random.key(config.seed + 2), {}
  cases = {}
  for scan in scans_of(batches, scorer, *given, progress=False):
    scores, _ = scored(scan, scorer, preset(config.postprocess))
    cases[scan.name] = take_case(scan, rarity(scores, sample), lesion_in(scan.arrays))
  return cases


def restored(config: ConfigDict, folder: pathlib.Path) -> tuple[Experiment, State, str]:
  """A stored run: experiment, trained state, and the map that it chose.

  Raises:
    ValueError: It cannot be restored, or the data are not those that it was scored on.
  """
  results = json.loads((folder / 'results.json').read_text())
  experiment = experiments.build(config)
  if experiments.digest(experiment) != results['run']['manifest']:
    raise ValueError(f'{folder} was evaluated on other data than there are now')
  found = experiments.restore(experiment, folder)
  if found is None:
    raise ValueError(f'{folder}/checkpoints holds no checkpoint to read')
  return experiment, found[1], results['default']


def exhibits(runs: Mapping[str, tuple[ConfigDict, pathlib.Path]]) -> Iterator[Exhibit]:
  """What each run makes of the typical scans.

  A run that cannot be restored is named on stderr.

  Args:
    runs: By method, in order: config and folder of a finished run, all on like data.
  """
  titles, records = {}, []
  for number, (name, (config, folder)) in enumerate(runs.items()):
    print(f'{number + 1}/{len(runs)}: {folder}', file=sys.stderr, flush=True)
    try:
      experiment, state, scorer = restored(config, folder)
    except ValueError as problem:
      print(f'left out: {name}: {problem}', file=sys.stderr)
      continue
    if not titles:
      test = config.data.test
      titles = typical(collect(experiments.batches(experiment, test)))
      stored = experiment.records(test)
      every = (stored[index] for index in range(len(stored)))
      records = [record for record in every if scan_name(record) in titles]
    sample = load(folder / 'evaluation.npz')[scorer]
    score = experiment.scorers[scorer]
    cases = seen_by(experiment, state, scorer, score, records, sample)
    told = (config.seed,), registry.fingerprint(config), scorer, titles
    yield Exhibit(name, *told, [cases[scan] for scan in titles])
