"""Inference over a data set: all maps of all scans, batch after batch."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np

from uad_jax import parallel
from uad_jax.evaluation.measure import MAP
from uad_jax.evaluation.scans import Scan, collect
from uad_jax.method import Batch, Infer, Key, Method, Params, Scorer, Stats, bind
from uad_jax.progress import progress as shown
from uad_jax.registration import flow

SEEN = ('image', 'mask', 'position', 'weight')
"""What a method sees of a batch: never the lesion."""

KEPT = ('prior', 'reconstruction', 'gate', 'displacement')
"""Outputs that are measured and shown beside the maps."""

COMPARED = ('reconstruction', 'displacement')
"""Outputs that are compared with those of the twin, the scan without its lesion."""


class Inference(NamedTuple):
  """Jitted (params, stats, batch, key) -> arrays of a batch.

  Attributes:
    maps: 'map/NAME' of each scorer, the outputs in KEPT, strain and folding.
    outputs: Those in COMPARED alone.
  """

  maps: Callable[[Params, Stats, Mapping, Key], dict]
  outputs: Callable[[Params, Stats, Mapping, Key], dict]


def placed(params: Params, stats: Stats) -> tuple[Params, Stats]:
  """Both on every device of this host."""
  return parallel.replicate((params, stats), parallel.local_mesh())


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


def make_infer(method: Method, scorers: Mapping[str, Scorer]) -> Inference:
  """The inference of a method; scorers that ask for the same one share it."""

  @parallel.jit
  def maps(params, stats, batch, key):
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

  @parallel.jit
  def outputs(params, stats, batch, key):
    given = method.infer(params, stats, batch, key)
    return {name: given[name] for name in COMPARED if name in given}

  return Inference(maps, outputs)


def check(infer: Inference, method: Method, features: Mapping, size: int) -> None:
  """Raises, before any training, unless the method gives what the maps need.

  Nothing is computed.

  Args:
    infer: What `make_infer` made of the method.
    method: Whose parameters it takes.
    features: Of a record of the data, for their shapes.
    size: Of a batch.
  """
  shapes = {name: features[name].shape if name in features else () for name in SEEN}
  seen = {
    name: jax.ShapeDtypeStruct((size, *shape), np.float32)
    for name, shape in shapes.items()
  }
  key = jax.random.key(0)
  params, stats = jax.eval_shape(method.init, key, seen)
  jax.eval_shape(infer.maps, params, stats, seen, key)


def launched(
  batches: Iterable[Mapping],
  infer: Inference,
  params: Params,
  stats: Stats,
  key: Key,
  ask: Mapping[str, float],
  twins: bool,
) -> Iterator[tuple[Mapping, dict]]:
  """Each batch with the arrays that the devices were asked for, not waited for.

  Those of the inference, and with `twins` 'twin_NAME' for the outputs in COMPARED.
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
  """The batches of `launched` with their arrays added."""
  # The next is launched first: the devices work on it while this one is measured.
  ahead = itertools.chain(launched(*arguments), [None])
  for (batch, arrays), _ in itertools.pairwise(ahead):
    yield {**batch, **jax.device_get(arrays)}


def scans_of(
  batches: Iterable[Mapping],
  label: str,
  *given,
  twins: bool = False,
  progress: bool = True,
) -> Iterator[Scan]:
  """The scans of batches with their maps; `given` as `launched` takes it."""
  batches = shown(batches, label) if progress else batches
  return collect(inferred(batches, *given, twins))
