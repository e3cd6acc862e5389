"""Functions that evaluate a trained method: anomaly maps, thresholds and metrics.

Thresholds are set on healthy validation scans, and the default anomaly map is chosen on
validation scans with lesions (`decide`); both are then fixed for the test scans.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from uad_jax import parallel
from uad_jax.data.preprocessing.tissue_classes import CLASSES, VENTRICLE
from uad_jax.evaluation import (
  healthy_ranges,
  left_out,
  lesionwise,
  reconstruction_quality,
  registration_quality,
  uncertainty_quality,
)
from uad_jax.evaluation.cases import Case, choose, take_case
from uad_jax.evaluation.decisions import Decisions, decide, selection_auprc
from uad_jax.evaluation.measure import (
  Measured,
  detected,
  measure,
  scored,
)
from uad_jax.evaluation.postprocess import Postprocess, preset
from uad_jax.evaluation.scans import Scan, lesion_in
from uad_jax.evaluation.summary import Results, make_sample, subject_rows, summarise
from uad_jax.inference import Inference, make_infer, placed, scans_of
from uad_jax.method import Batch, Key, Method, Params, Scorer, Stats
from uad_jax.ops.choices import check_choice

CASE_PERCENT = 5
"""The report outlines detections at the threshold that this percentage of healthy
voxels exceeds."""

Batches = Iterable[Mapping[str, np.ndarray]]


def validate(
  method: Method,
  params: Params,
  stats: Stats,
  scorers: Mapping[str, Scorer],
  selection: Batches,
  key: Key,
  postprocess: str = 'none',
  progress: bool = True,
) -> dict[str, float]:
  """Computes the AUPRC of each anomaly map of a method on validation scans.

  Settings are tuned by it. The arguments are those of `evaluate`.
  """
  infer = make_infer(method, scorers)
  scans = scans_of(
    selection, 'selection', infer, *placed(params, stats), key, progress=progress
  )
  return selection_auprc(scans, scorers, preset(postprocess))


def examine(
  scan: Scan,
  scorers: Iterable[str],
  decisions: Decisions,
  chain: Postprocess,
  calibrations: Mapping[str, Mapping],
) -> tuple[Scan, dict[str, Measured], Case, dict[str, uncertainty_quality.Compared]]:
  """Computes metrics of each anomaly map of a test scan, and picks a slice to show.

  Args:
    scan: Test scan with its anomaly maps.
    scorers: Names of the anomaly maps.
    decisions: Thresholds and the default map, which the example slice shows.
    chain: Post-processing of the maps.
    calibrations: Calibrations of the uncertainties, from `uncertainty_quality.fit`.

  Returns:
    The scan without its arrays, its measurements by scorer, its example slice for the
    report, and its uncertainties compared with the errors.
  """
  lesions = lesionwise.Lesions(lesion_in(scan.arrays), scan.voxel_ml)
  white = CLASSES.index('white')
  of_method = reconstruction_quality.measure(scan.arrays, scan.planar)
  of_method |= registration_quality.measure(scan.arrays, scan.planar, VENTRICLE, white)
  measured = {}
  for scorer in scorers:
    thresholds = decisions.thresholds[scorer]
    scores, brain = scored(scan, scorer, chain)
    numbers = measure(scores, brain, chain, thresholds, lesions)
    measured[scorer] = numbers._replace(values=numbers.values | of_method)
    if scorer == decisions.default:
      marked = detected(scores, brain, thresholds[CASE_PERCENT], chain)
      case = take_case(scan, scores, marked)
  compared = uncertainty_quality.compare(scan, calibrations)
  return scan._replace(arrays={}), measured, case, compared


def evaluate(
  method: Method,
  params: Params,
  stats: Stats,
  scorers: Mapping[str, Scorer],
  val: Batches | None,
  test: Batches,
  key: Key,
  *,
  postprocess: str = 'none',
  selection: Batches | None = None,
  decisions: Decisions | None = None,
  ask: Mapping[str, float] | None = None,
  infer: Inference | Callable | None = None,
  without: Callable[[Params, Stats, Batch], Stats] | None = None,
  resamples: int = 2000,
  seed: int = 0,
  progress: bool = True,
) -> Results:
  """Evaluates the anomaly maps of a trained method on test scans, in the brain mask.

  In a distributed job the scans are dealt to the hosts in turn, and all hosts get all
  results.

  Args:
    method: Trained method.
    params: Parameters of the method.
    stats: Statistics of the method (state without gradients), see `method.Stats`.
    scorers: Scorers by the name of their anomaly map; the first is the default map
      unless `selection` is given.
    val: Batches of healthy validation scans, which set the thresholds, or None. All
      batches are of one size, padding has weight 0, and a scan's records come together,
      in order.
    test: Batches of test scans, with 'lesion', and 'twin' and 'labels' where known.
    key: Batch i is inferred with fold_in(key, i), in each split and on each host.
    postprocess: Name from `postprocess.PRESETS`.
    selection: Batches of validation scans with lesions; the scorer with the best pooled
      AUPRC on them gives the default map.
    decisions: Thresholds and default map of an earlier evaluation; `selection` is then
      not read, and `val` is only described, or sets the thresholds if they are None.
    ask: Entries added to every batch; with them a variant asks the method for another
      inference.
    infer: Inference from `make_infer`, so that several evaluations compile once.
    without: `method.without`, if the scans of `val` are in the statistics; each subject
      of them is then inferred without its own records.
    resamples: Number of bootstrap resamples of the subjects.
    seed: Seed of the resampling.
    progress: Whether to show progress on stderr.

  Raises:
    ValueError: There is no scorer, no test scan, or none of the scorers is the default
      map of `decisions`.
  """
  if not scorers:
    raise ValueError('evaluate needs at least one scorer')
  if decisions is not None:
    check_choice('default map', decisions.default, scorers, 'the evaluation')
  chain = preset(postprocess)
  infer = infer or make_infer(method, scorers)

  def scans(batches, label, twins=False, stats=stats):
    bound = infer, *placed(params, stats), key, ask
    return scans_of(batches, label, *bound, twins=twins, progress=progress)

  seen: list[dict[str, uncertainty_quality.Voxels]] = []

  def healthy_scans():
    parts = [(val, stats)]
    if without:
      parts = left_out.by_subject(val, functools.partial(without, params), stats)
    healthy = (scans(batches, 'thresholds', stats=kept) for batches, kept in parts)
    return uncertainty_quality.watched(itertools.chain.from_iterable(healthy), seen)

  if decisions is None:
    sick = None if selection is None else scans(selection, 'selection')
    decisions = decide(healthy_scans(), sick, scorers, chain)
  elif val is not None:
    limits, described = healthy_ranges.measure(
      healthy_scans(), scorers, chain, decisions.thresholds
    )
    decisions = decisions._replace(thresholds=limits, healthy=described)
  calibrations = uncertainty_quality.fit(sum(parallel.gather(seen), []))
  examined = parallel.by_turns(
    [
      examine(scan, scorers, decisions, chain, calibrations)
      for scan in scans(test, 'test', twins=True)
    ]
  )
  if not examined:
    raise ValueError('the test split is empty')
  people, measured, cases, uncertain = (
    list(part) for part in zip(*examined, strict=True)
  )

  samples, pools = {}, {}
  for scorer in scorers:
    samples[scorer], pools[scorer] = make_sample(people, [m[scorer] for m in measured])
  summary = summarise(
    people,
    samples,
    pools,
    decisions.thresholds,
    decisions.selection_auprc,
    decisions.default,
    postprocess=postprocess,
    resamples=resamples,
    seed=seed,
  )
  if decisions.healthy:
    summary['healthy_validation'] = decisions.healthy
  if any(uncertain):
    summary['uncertainty'] = uncertainty_quality.summarise(uncertain, resamples, seed)
  values = samples[decisions.default].values
  unknown = np.full(len(people), np.nan)
  cases = choose(
    cases, values['auprc'], values.get('dice_at_5', unknown), values['score_mean']
  )
  return Results(summary, subject_rows(people, samples), samples, cases)
