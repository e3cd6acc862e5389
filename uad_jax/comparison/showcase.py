"""Functions that apply the trained model of each method to the same few scans.

The resulting slices make the picture that compares all methods. Of each pathology the
scan of median lesion volume is taken, so the choice does not depend on any method's
score.
"""

import itertools
import json
import pathlib
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ml_collections import ConfigDict

from uad_jax import experiment as experiments
from uad_jax import registry
from uad_jax.comparison.kept_slices import Exhibit
from uad_jax.comparison.patient_groups import LEAST
from uad_jax.comparison.side_by_side import rarity
from uad_jax.data import pipeline
from uad_jax.evaluation import evaluated_step
from uad_jax.evaluation.cases import Case, take_case
from uad_jax.evaluation.measure import scored
from uad_jax.evaluation.postprocess import preset
from uad_jax.evaluation.sample import Sample, load
from uad_jax.evaluation.scans import Scan, collect, lesion_in, scan_name
from uad_jax.experiment import Experiment
from uad_jax.inference import make_infer, placed, scans_of
from uad_jax.method import Scorer, State
from uad_jax.trained_run import open_run


def median_volume_scans(scans: Iterable[Scan]) -> dict[str, str]:
  """Chooses, for each pathology, the scan whose lesion volume is the median.

  A pathology with `LEAST` scans or more is divided into thirds by volume, and one scan
  is chosen of each. Of an even number the lower of the middle two is taken; equal
  volumes are ordered by name.

  Returns:
    Title by name of the scan, such as 'ms, 6 ml'.
  """
  volumes = defaultdict(list)
  for scan in scans:
    volume = float(lesion_in(scan.arrays).sum() * scan.voxel_ml)
    if volume:
      volumes[scan.pathology].append((volume, scan.name))
  chosen = {}
  for pathology, candidates in volumes.items():
    parts = 3 if len(candidates) >= LEAST else 1
    ends = [len(candidates) * part // parts for part in range(parts + 1)]
    for first, last in itertools.pairwise(ends):
      volume, name = sorted(candidates)[first + (last - first - 1) // 2]
      chosen[name] = f'{pathology}, {volume:.2g} ml'
  return chosen


def run_cases(
  experiment: Experiment,
  state: State,
  scorer: str,
  score: Scorer,
  records: Sequence[Mapping],
  sample: Sample,
) -> dict[str, Case]:
  """Computes the anomaly maps of scans and returns one example slice for each scan.

  It is the slice with the largest lesion area. Stochastic methods draw new random
  numbers here, so their anomaly maps differ from those of the evaluation.

  Args:
    experiment: Experiment of the run.
    state: Trained state.
    scorer: Name of the scorer.
    score: The scorer.
    records: Slices or volumes of the scans, in order.
    sample: Counts of the run's evaluation, which convert scores to `rarity`.

  Returns:
    Example slices by name of the scan; the panel 'map' holds the rarity.
  """
  config = experiment.config
  batches = pipeline.ordered_batches(records, config.batch_size)
  infer = make_infer(experiment.method, {scorer: score})
  params, stats = placed(state.params, state.stats)
  key = experiments.evaluation_key(config)
  cases = {}
  for scan in scans_of(batches, scorer, infer, params, stats, key, progress=False):
    scores, _ = scored(scan, scorer, preset(config.postprocess))
    cases[scan.name] = take_case(scan, rarity(scores, sample), lesion_in(scan.arrays))
  return cases


def restored(config: ConfigDict, folder: pathlib.Path) -> tuple[Experiment, State, str]:
  """Restores the experiment, trained state and chosen scorer of a run from its folder.

  Returns:
    Experiment, trained state and name of the chosen scorer.

  Raises:
    ValueError: The data or the checkpoint changed since the evaluation.
  """
  results = json.loads((folder / 'results.json').read_text())
  opened = open_run(folder)
  evaluated_step.check(folder, results, int(opened.state.step))
  experiment = experiments.build(config, opened.card.get('data', ''))
  if experiments.digest(experiment) != results['run']['manifest']:
    raise ValueError(f'{folder} was evaluated on other data than there are now')
  return experiment, opened.state, results['default']


def exhibits(runs: Mapping[str, tuple[ConfigDict, pathlib.Path]]) -> Iterator[Exhibit]:
  """Yields the example slices of each run, computed with its trained model.

  The scans are the same for all runs. A run that cannot be restored is skipped and
  named on stderr.

  Args:
    runs: Config and folder of a finished run by method, all on the same data.
  """
  titles, records = {}, []
  for number, (name, (config, folder)) in enumerate(runs.items()):
    print(f'{number + 1}/{len(runs)}: {folder}', file=sys.stderr, flush=True)
    try:
      experiment, state, scorer = restored(config, folder)
    except (ValueError, FileNotFoundError) as problem:
      print(f'left out: {name}: {problem}', file=sys.stderr)
      continue
    if not titles:
      test = config.data.test
      titles = median_volume_scans(collect(experiments.batches(experiment, test)))
      every = experiment.records(test)
      records = [
        record
        for record in map(every.__getitem__, range(len(every)))
        if scan_name(record) in titles
      ]
    sample = load(folder / 'evaluation.npz')[scorer]
    score = experiment.scorers[scorer]
    cases = run_cases(experiment, state, scorer, score, records, sample)
    yield Exhibit(
      name,
      (config.seed,),
      registry.fingerprint(config),
      scorer,
      titles,
      [cases[scan] for scan in titles],
    )
