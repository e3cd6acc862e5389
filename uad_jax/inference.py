"""Functions that compute the anomaly maps of all scans in a data set batch by batch."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np

from uad_jax import parallel
from uad_jax.evaluation import variant_entries
from uad_jax.evaluation.changed_maps import Smoothed
from uad_jax.evaluation.measure import MAP
from uad_jax.evaluation.scans import Scan, collect
from uad_jax.evaluation.uncertainty_quality import DEVIATION
from uad_jax.method import (
  SEEN,
  Array,
  Batch,
  Infer,
  Key,
  Method,
  Params,
  Scorer,
  Stats,
  bind,
)
from uad_jax.progress import progress as with_progress
from uad_jax.registration import flow
from uad_jax.uncertainty.anomaly_maps import Deviation
from uad_jax.uncertainty.estimator import deviation
from uad_jax.uncertainty.estimators import predicted

KEPT = ('prior', 'reconstruction', 'gate', 'displacement')
"""Outputs of a method that are measured and shown beside the anomaly maps."""

PREDICTED = 'reconstruction_log_variance'
"""Output from which the predicted deviation of the reconstruction is measured."""

COMPARED = ('reconstruction', 'displacement')
"""Outputs of a method that are compared between a scan and its lesion-free twin (the
scan before its lesion was inserted)."""


class Inference(NamedTuple):
  """Compiled functions that compute anomaly maps and outputs of a method for a batch.

  Both have the signature (params, stats, batch, key) -> arrays.

  Attributes:
    maps: Computes the anomaly map 'map/NAME' of each scorer and the method's outputs in
      `KEPT`; 'deviation/OUTPUT/NAME' of each scorer of a standard deviation, and
      'predicted' of the variance that the method predicts; for a method with a
      displacement field also its 'strain', and 'folded', the voxels where it folds.
    outputs: Computes the method's outputs in `COMPARED` alone.
  """

  maps: Callable[[Params, Stats, Mapping, Key], dict]
  outputs: Callable[[Params, Stats, Mapping, Key], dict]


def placed(params: Params, stats: Stats) -> tuple[Params, Stats]:
  """Copies a method's parameters and statistics to every device of this host."""
  return parallel.replicate((params, stats), parallel.local_mesh())


def remembered(infer: Infer) -> Infer:
  """Wraps an inference function so that repeated calls return the stored outputs.

  A call is repeated if batch and key are the same objects. JAX then traces the
  inference only once.
  """
  known = []

  def recall(batch: Batch, key: Key):
    for seen, used, outputs in known:
      if seen is batch and used is key:
        return outputs
    known.append((batch, key, infer(batch, key)))
    return known[-1][-1]

  return recall


def make_infer(method: Method, scorers: Mapping[str, Scorer]) -> Inference:
  """Compiles the functions that compute the anomaly maps and outputs of a method.

  No work is repeated: scorers that need the same inference share its outputs, and
  `Smoothed` scorers that filter the same map share that map.

  Args:
    method: Method to infer with.
    scorers: Scorers by the name of their anomaly map.
  """

  @parallel.jit
  def maps(params, stats, batch, key):
    infer = remembered(bind(method, params, stats))
    made: dict[int, Array] = {}  # maps by the scorer that made them

    def once(scorer):
      if id(scorer) not in made:
        made[id(scorer)] = scorer(infer, batch, key)
      return made[id(scorer)]

    arrays = {
      f'{MAP}{name}': scorer.filtered(once(scorer.scorer), batch['mask'])
      if isinstance(scorer, Smoothed)
      else once(scorer)
      for name, scorer in scorers.items()
    }
    outputs = infer(batch, key)
    arrays |= {name: outputs[name] for name in KEPT if name in outputs}
    arrays |= {
      f'{DEVIATION}{scorer.of}/{name}': arrays[f'{MAP}{name}']
      for name, scorer in scorers.items()
      if isinstance(scorer, Deviation)
    }
    if PREDICTED in outputs:
      _, variance = predicted('reconstruction').moments(infer, batch, key)
      arrays[f'{DEVIATION}reconstruction/predicted'] = deviation(variance)
    if 'displacement' in outputs:
      arrays['strain'] = flow.strain(outputs['displacement'])
      arrays['folded'] = flow.jacobian_determinant(outputs['displacement']) <= 0
    return arrays

  @parallel.jit
  def compared(params, stats, batch, key):
    outputs = method.infer(params, stats, batch, key)
    return {name: outputs[name] for name in COMPARED if name in outputs}

  return Inference(maps, compared)


def check(
  infer: Inference,
  method: Method,
  features: Mapping,
  size: int,
  variants: Mapping[str, Mapping[str, float]],
) -> None:
  """Checks, before training, that method, scorers and variants fit each other.

  The method must give every output that the scorers need, and read every entry that the
  variants add. It is traced with array shapes alone, so nothing is computed.

  Args:
    infer: Inference that `make_infer` made of the method.
    method: Method that is to be trained.
    features: TFDS features of a record, for the shapes of its arrays.
    size: Number of examples in a batch.
    variants: Entries added to every batch, by variant.

  A scorer that needs an output which the method lacks raises its ValueError.
  """
  shapes = {name: features[name].shape if name in features else () for name in SEEN}
  seen = {
    name: jax.ShapeDtypeStruct((size, *shape), np.float32)
    for name, shape in shapes.items()
  }
  key = jax.random.key(0)
  params, stats = jax.eval_shape(method.init, key, seen)
  jax.eval_shape(infer.maps, params, stats, seen, key)
  variant_entries.check(method, params, stats, seen, key, variants)


def launched(
  batches: Iterable[Mapping],
  infer: Inference,
  params: Params,
  stats: Stats,
  key: Key,
  ask: Mapping[str, float],
  twins: bool,
) -> Iterator[tuple[Mapping, dict]]:
  """Starts the inference of each batch and yields the batch with its output arrays.

  JAX computes asynchronously: the output arrays may not be computed yet.

  Args:
    batches: Batches of numpy arrays, all of one size, with the entries in `SEEN`.
    infer: Inference from `make_infer`.
    params: Parameters on the devices, from `placed`.
    stats: Statistics on the devices, from `placed`.
    key: Batch i is inferred with fold_in(key, i).
    ask: Entries added to every batch; with them a variant asks the method for another
      inference.
    twins: Also infer the lesion-free twins: 'twin_NAME' for the outputs in `COMPARED`.
  """
  devices = parallel.local_mesh()
  for index, batch in enumerate(batches):
    seen = {name: np.asarray(batch[name], np.float32) for name in SEEN}
    size = len(seen['weight'])
    seen |= {name: np.full(size, value, np.float32) for name, value in ask.items()}
    place = parallel.replicate if size % devices.size else parallel.shard
    seen = place(seen, devices)
    batch_key = jax.random.fold_in(key, index)
    arrays = infer.maps(params, stats, seen, batch_key)
    if twins and 'twin' in batch:
      again = {name: arrays[name] for name in COMPARED if name in arrays}
      if again and np.any(batch['lesion']):  # a twin of the healthy is the image itself
        twin = {'image': np.asarray(batch['twin'], np.float32)}
        twin = seen | place(twin, devices)
        # The same key, so that they differ by the lesion and not by chance.
        again = infer.outputs(params, stats, twin, batch_key)
      arrays |= {f'twin_{name}': value for name, value in again.items()}
    yield batch, arrays


def inferred(*arguments) -> Iterator[dict]:
  """Runs the inference on all batches and yields each batch with its anomaly maps.

  The outputs of the method are added too; all are numpy arrays by name.

  Args:
    *arguments: Arguments of `launched`.
  """
  # The next is launched first: the devices work on it while this one is measured.
  ahead = itertools.chain(launched(*arguments), [None])
  for (batch, arrays), _ in itertools.pairwise(ahead):
    yield {**batch, **jax.device_get(arrays)}


def scans_of(
  batches: Iterable[Mapping],
  label: str,
  infer: Inference,
  params: Params,
  stats: Stats,
  key: Key,
  ask: Mapping[str, float] | None = None,
  *,
  twins: bool = False,
  progress: bool = True,
) -> Iterator[Scan]:
  """Computes the anomaly maps of all scans, batch by batch, and yields scan after scan.

  Evaluation, prediction and figures all infer scans by this function.

  Args:
    batches: Batches as in `launched`; the slices of a scan come together, in order.
    label: Name of the work in the progress line.
    infer: Inference from `make_infer`.
    params: Parameters on the devices, from `placed`.
    stats: Statistics on the devices, from `placed`.
    key: Batch i is inferred with fold_in(key, i).
    ask: Entries added to every batch, as in `launched`; None adds nothing.
    twins: Whether to infer the lesion-free twins too.
    progress: Whether to show progress on stderr.

  Yields:
    Scans; the anomaly map of scorer NAME is 'map/NAME' in `Scan.arrays`.
  """
  batches = with_progress(batches, label) if progress else batches
  return collect(inferred(batches, infer, params, stats, key, ask or {}, twins))
