"""THE evaluation: all scorers' maps, thresholds from healthy scans, all the numbers."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from uad_jax import parallel
from uad_jax.data.preprocessing.tissue_classes import CLASSES, VENTRICLE
from uad_jax.evaluation import (
  histogram,
  lesionwise,
  reconstruction_quality,
  registration_quality,
)
from uad_jax.evaluation.cases import Case, choose, take_case
from uad_jax.evaluation.measure import (
  Measured,
  detected,
  measure,
  pooled_histograms,
  scored,
)
from uad_jax.evaluation.metrics import FPR_PERCENT
from uad_jax.evaluation.postprocess import Postprocess, preset
from uad_jax.evaluation.scans import Scan, lesion_in
from uad_jax.evaluation.summary import Results, make_sample, subject_rows, summarise
from uad_jax.inference import make_infer, placed, scans_of
from uad_jax.method import Key, Method, Params, Scorer, Stats

CASE_PERCENT = 5
"""The threshold at which the report outlines detections."""


def selection_auprc(
  scans: Iterable[Scan], scorers: Iterable[str], chain: Postprocess
) -> dict[str, float]:
  """By scorer, the AUPRC over the brain voxels of validation scans with lesions."""
  pooled = pooled_histograms(scans, scorers, chain)
  return {
    scorer: float(histogram.ranking(found.healthy, found.lesion).auprc)
    for scorer, found in pooled.items()
  }


def validate(
  method: Method,
  params: Params,
  stats: Stats,
  scorers: Mapping[str, Scorer],
  selection: Iterable[Mapping[str, np.ndarray]],
  key: Key,
  postprocess: str = 'none',
  progress: bool = True,
) -> dict[str, float]:
  """`selection_auprc` of a trained method; what settings are chosen by.

  Args as in `evaluate`, whose choice of a map sees the same numbers.
  """
  given = make_infer(method, scorers), *placed(params, stats), key, {}
  scans = scans_of(selection, 'selection', *given, progress=progress)
  return selection_auprc(scans, scorers, preset(postprocess))


def examine(
  scan: Scan,
  scorers: Iterable[str],
  thresholds: Mapping[str, Mapping[int, float]],
  default: str,
  chain: Postprocess,
) -> tuple[Scan, dict[str, Measured], Case]:
  """What is kept of a test scan: who it is, the numbers by scorer, and a picture."""
  lesions = lesionwise.Lesions(lesion_in(scan.arrays), scan.voxel_ml)
  white = CLASSES.index('white')
  own = reconstruction_quality.measure(scan.arrays, scan.planar)
  own |= registration_quality.measure(scan.arrays, scan.planar, VENTRICLE, white)
  measured = {}
  for scorer in scorers:
    scores, brain = scored(scan, scorer, chain)
    numbers = measure(scores, brain, chain, thresholds[scorer], lesions)
    measured[scorer] = numbers._replace(values=numbers.values | own)
    if scorer == default:
      marked = detected(scores, brain, thresholds[scorer][CASE_PERCENT], chain)
      case = take_case(scan, scores, marked)
  return scan._replace(arrays={}), measured, case


def evaluate(
  method: Method,
  params: Params,
  stats: Stats,
  scorers: Mapping[str, Scorer],
  val: Iterable[Mapping[str, np.ndarray]],
  test: Iterable[Mapping[str, np.ndarray]],
  key: Key,
  *,
  postprocess: str = 'none',
  selection: Iterable[Mapping[str, np.ndarray]] | None = None,
  ask: Mapping[str, float] | None = None,
  infer: Callable | None = None,
  resamples: int = 2000,
  seed: int = 0,
  progress: bool = True,
) -> Results:
  """Evaluates every scorer of a trained method, inside the brain mask.

  Of several hosts each is given its own scans, by turns; all get the results.

  Args:
    method: The method.
    params: Its parameters.
    stats: Its statistics.
    scorers: By name; the first is the default map unless `selection` is given.
    val: Batches of healthy validation scans, which set the thresholds. All batches are
      of one size, padding has weight 0, and a scan's records come together, in order.
    test: Batches of test scans, with 'lesion', and 'twin' and 'labels' where known.
    key: Batch i is inferred with fold_in(key, i), in each split and on each host.
    postprocess: One of `postprocess.PRESETS`.
    selection: Batches of validation scans with lesions; the scorer with the best pooled
      AUPRC on them becomes the default map.
    ask: Entries added to every batch, by which a method gives another inference.
    infer: Of `make_infer`, so that several evaluations compile once.
    resamples: Bootstrap resamples of the subjects.
    seed: Of the resampling.
    progress: Whether to show progress on stderr.
  """
  if not scorers:
    raise ValueError('evaluate needs at least one scorer')
  chain = preset(postprocess)
  infer = infer or make_infer(method, scorers)
  given = infer, *placed(params, stats), key, ask or {}

  def scans(batches, label, twins=False):
    return scans_of(batches, label, *given, twins=twins, progress=progress)

  healthy = pooled_histograms(scans(val, 'thresholds'), scorers, chain)
  thresholds = {
    scorer: {p: histogram.threshold_at(pooled, p / 100) for p in FPR_PERCENT}
    for scorer, pooled in healthy.items()
  }
  chosen = {}
  if selection is not None:
    chosen = selection_auprc(scans(selection, 'selection'), scorers, chain)
  default = max(chosen, key=chosen.get) if chosen else next(iter(scorers))

  found = parallel.by_turns(
    [
      examine(scan, scorers, thresholds, default, chain)
      for scan in scans(test, 'test', twins=True)
    ]
  )
  if not found:
    raise ValueError('the test split is empty')
  people, measured, cases = (list(part) for part in zip(*found, strict=True))

  samples, pools = {}, {}
  for scorer in scorers:
    samples[scorer], pools[scorer] = make_sample(people, [m[scorer] for m in measured])
  summary = summarise(
    people,
    samples,
    pools,
    thresholds,
    chosen,
    default,
    postprocess=postprocess,
    resamples=resamples,
    seed=seed,
  )
  values = samples[default].values
  unknown = np.full(len(people), np.nan)
  cases = choose(
    cases, values['auprc'], values.get('dice_at_5', unknown), values['score_mean']
  )
  return Results(summary, subject_rows(people, samples), samples, cases)
