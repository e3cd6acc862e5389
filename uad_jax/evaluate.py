"""THE evaluation: all scorers' maps, thresholds from healthy scans, all the numbers."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping

import jax
import numpy as np

from uad_jax import parallel
from uad_jax.data.record import CLASSES, VENTRICLE
from uad_jax.evaluation import histogram, lesionwise
from uad_jax.evaluation import registration as registration_metrics
from uad_jax.evaluation.cases import Case, choose, take_case
from uad_jax.evaluation.measure import (
  MAP,
  Measured,
  detected,
  lesion_of,
  measure,
  pooled_histograms,
  scored,
)
from uad_jax.evaluation.metrics import FPR_PERCENT
from uad_jax.evaluation.scans import Scan, collect
from uad_jax.evaluation.summary import Results, make_sample, subject_rows, summarise
from uad_jax.method import Batch, Infer, Key, Method, Params, Scorer, Stats, bind
from uad_jax.postprocess import Postprocess, preset
from uad_jax.progress import progress as shown
from uad_jax.registration import flow

SEEN = ('image', 'mask', 'position', 'weight')
"""What a method sees of a batch: never the lesion."""

CASE_PERCENT = 5
"""The threshold at which the report outlines detections."""

KEPT = ('prior', 'reconstruction', 'gate', 'displacement')
"""Outputs that are measured and shown beside the maps."""


def remembered(infer: Infer) -> Infer:
  """The inference, traced only once for the very same batch and key."""
  known = []

  def recall(batch: Batch, key: Key):
    for seen, used, outputs in known:
      if seen is batch and used is key:
        return outputs
    known.append((batch, key, infer(batch, key)))
    return known[-1][-1]

  return recall


def make_infer(
  method: Method, scorers: Mapping[str, Scorer]
) -> Callable[[Params, Stats, Mapping, Key], dict]:
  """The jitted (params, stats, batch, key) -> arrays of a batch.

  'map/NAME' of each scorer, the outputs in KEPT, strain and folding. Scorers that ask
  for the same inference share it.
  """

  @parallel.jit
  def infer(params, stats, batch, key):
    infer = remembered(bind(method, params, stats))
    arrays = {
      f'{MAP}{name}': scorer(infer, batch, key) for name, scorer in scorers.items()
    }
    given = infer(batch, key)
    arrays |= {name: given[name] for name in KEPT if name in given}
    if 'displacement' in given:
      arrays['strain'] = flow.strain(given['displacement'])
      arrays['folded'] = flow.jacobian_determinant(given['displacement']) <= 0
    return arrays

  return infer


def launched(
  batches: Iterable[Mapping],
  infer: Callable,
  params: Params,
  stats: Stats,
  key: Key,
  ask: Mapping[str, float],
) -> Iterator[tuple[Mapping, dict]]:
  """Each batch with the arrays that the devices were asked for, not waited for.

  Those of the inference, and the twin's displacement.
  """
  devices = parallel.local_mesh()
  for index, batch in enumerate(batches):
    seen = {name: np.asarray(batch[name], np.float32) for name in SEEN}
    size = len(seen['weight'])
    seen |= {name: np.full(size, value, np.float32) for name, value in ask.items()}
    place = parallel.replicate if size % devices.size else parallel.shard
    seen = place(seen, devices)
    batch_key = jax.random.fold_in(key, index)
    arrays = infer(params, stats, seen, batch_key)
    if 'displacement' in arrays and 'twin' in batch:
      arrays['twin_displacement'] = arrays['displacement']
      if np.any(batch['lesion']):  # a twin of the healthy is the image itself
        twin = {'image': np.asarray(batch['twin'], np.float32)}
        twin = seen | place(twin, devices)
        # The same key, so that the fields differ by the lesion and not by chance.
        again = infer(params, stats, twin, batch_key)
        arrays['twin_displacement'] = again['displacement']
    yield batch, arrays


def inferred(*arguments) -> Iterator[dict]:
  """The batches of `launched` with their arrays added."""
  # The next is launched first: the devices work on it while this one is measured.
  ahead = itertools.chain(launched(*arguments), [None])
  for (batch, arrays), _ in itertools.pairwise(ahead):
    yield {**batch, **jax.device_get(arrays)}


def scans_of(
  batches: Iterable[Mapping], label: str, infer: Callable, *given, progress: bool = True
) -> Iterator[Scan]:
  """The scans of batches with their maps; `given` as `launched` takes it."""
  batches = shown(batches, label) if progress else batches
  return collect(inferred(batches, infer, *given))


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


def placed(params: Params, stats: Stats) -> tuple[Params, Stats]:
  """Both on every device of this host."""
  return parallel.replicate((params, stats), parallel.local_mesh())


def examine(
  scan: Scan,
  scorers: Iterable[str],
  thresholds: Mapping[str, Mapping[int, float]],
  default: str,
  chain: Postprocess,
) -> tuple[Scan, dict[str, Measured], Case]:
  """What is kept of a test scan: who it is, the numbers by scorer, and a picture."""
  lesions = lesionwise.Lesions(lesion_of(scan), scan.voxel_ml)
  registration = registration_metrics.measure(
    scan.arrays, scan.planar, VENTRICLE, CLASSES.index('white')
  )
  measured = {}
  for scorer in scorers:
    scores, brain = scored(scan, scorer, chain)
    numbers = measure(scores, brain, chain, thresholds[scorer], lesions)
    measured[scorer] = numbers._replace(values=numbers.values | registration)
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

  def scans(batches, label):
    return scans_of(batches, label, *given, progress=progress)

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
    [examine(scan, scorers, thresholds, default, chain) for scan in scans(test, 'test')]
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
