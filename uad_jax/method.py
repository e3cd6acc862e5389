"""Types shared by all modules, such as method, training objective and anomaly scorer.

A method is a value made by a factory out of pure functions, as an optax transformation
is. Its training procedure is data (`objectives`), so that one loop trains every method.

Shapes, in this package: B batch, *S spatial (H W or X Y Z), d their number, C channels
(contrasts), Z latent values, K components or features. Channels come last.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from uad_jax.ops.output_names import EXPECTED

Array = jax.Array
Key = jax.Array
Step = jax.Array
Tree = Any

Batch = Mapping[str, Array]
"""Arrays of a batch: 'image' [B, *S, C] float32; 'mask' [B, *S, 1], the brain mask, 0
or 1; 'position' [B], slice height in [0, 1]; 'weight' [B], 0 for padding; in tests also
'lesion' [B, *S, 1], which no method reads. A scorer may add entries that a method
documents ('strength', 'open'), to ask for another inference."""

Params = dict[str, Tree]
"""Trained parameters by network: 'encoder', 'decoder', 'critic'."""

Stats = dict[str, Tree]
"""State that training changes without gradients, by name: batch statistics, codebooks,
fitted densities, averaged parameters."""

Outputs = dict[str, Array]
"""Arrays that the inference of a method returns, by the names in
`ops.output_names.OUTPUTS`."""

Metrics = dict[str, Array]
Infer = Callable[[Batch, Key], Outputs]
Scorer = Callable[[Infer, Batch, Key], Array]
"""Function (bound inference, batch, key) -> anomaly map [B, *S, 1]; high scores are
anomalous."""


class Bound(NamedTuple):
  """Allowed interval for a training metric of an objective (loss).

  The training loop checks the mean of the metric since the last line of the log.

  Attributes:
    metric: Name of the metric.
    low, high: Smallest and largest allowed value.
    sign_of: Trouble that a value beyond the interval points to, in words.
    fatal: True ends the training and keeps its last checkpoint; False warns once.
    after: First steps of the stage that are not checked.
  """

  metric: str
  low: float = -math.inf
  high: float = math.inf
  sign_of: str = 'trouble'
  fatal: bool = False
  after: int = 0


class Objective(NamedTuple):
  """Training objective: a loss that trains networks, or a fit of statistics to data.

  Attributes:
    loss: (params, stats, batch, key, step) -> (scalar, (stats, metrics)); `step` counts
      from the start of the objective's stage.
    trains: Names of the networks whose parameters minimise the loss; empty for a fit.
    stage: Number of the training stage; stage 1 begins when stage 0 ends.
    every: Period: the objective is updated at each `every`-th step of its stage.
    split: Split that its batches come from: 'train', 'val' for a calibration, or
      'few_shot' for healthy scans of a target scanner. With 'train+few_shot' the loss
      gets a dict of batches by split.
    bounds: Intervals that its metrics have to keep.
    passes: (initial statistics) -> number of passes over the target scans that a fit
      needs; None for one.
    on_host: Whether the loss is computed with arrays of the host, outside of `jax.jit`,
      as a fit by a library is.
  """

  loss: Callable[[Params, Stats, Batch, Key, Step], tuple[Array, tuple[Stats, Metrics]]]
  trains: tuple[str, ...] = ()
  stage: int = 0
  every: int = 1
  split: str = 'train'
  bounds: tuple[Bound, ...] = ()
  passes: Callable[[Stats], int] | None = None
  on_host: bool = False


SEEN = ('image', 'mask', 'position', 'weight')
"""Entries of a batch that a method is given: never the lesion."""

TARGET = 'few_shot'
"""Split of the healthy target scans, to which a trained method is adapted."""


def splits_of(objective: Objective) -> tuple[str, ...]:
  """Returns the names of the splits that an objective's batches come from.

  For 'train+few_shot' they are 'train' and 'few_shot'.
  """
  return tuple(objective.split.split('+'))


class Method(NamedTuple):
  """Model for anomaly detection with its training procedure, as pure functions.

  Attributes:
    init: (key, batch) -> (params, stats): initial parameters and statistics.
    objectives: Training procedure: objectives by name, in the order of their updates.
    infer: (params, stats, batch, key) -> every output that a scorer may ask for; jit
      prunes the others. It never reads 'lesion'.
    kinds: Kind of each entry of the statistics, a name from `KINDS`: an adaptation to
      another scanner re-estimates some kinds and must not touch the others.
    without: (params, stats, batch) -> statistics without the records of a batch that
      were added to them; None if none were, or if they cannot be removed.
  """

  init: Callable[[Key, Batch], tuple[Params, Stats]]
  objectives: Mapping[str, Objective]
  infer: Callable[[Params, Stats, Batch, Key], Outputs]
  kinds: Mapping[str, str] = MappingProxyType({})
  without: Callable[[Params, Stats, Batch], Stats] | None = None


def next_stage(method: Method) -> int:
  """Returns the number of a stage that follows all those of a method."""
  return max((o.stage for o in method.objectives.values()), default=-1) + 1


KINDS = {
  'batch_norm': 'means and variances by which batch normalisation divides',
  'moments': 'sums for the mean and variance of each voxel, `ops.voxel_stats.Moments`',
  'template': 'the same sums, of scans to which other scans are registered',
  'registered': 'such sums of registered scans, which the fit of this name adds',
  'mean_field': 'running mean of the fields of a training',
  'histogram': 'counts of a quantity in healthy scans, which set a threshold',
  'codebook': 'codes of a vector-quantised auto-encoder',
  'average': 'averages of the parameters',
  'teacher': 'frozen parameters of an earlier stage, from which a network learns',
  'posterior': 'moments of an approximate posterior of the parameters',
  'bank': 'features of healthy scans, and the detector that is fitted to them',
  'features': 'moments of features that an adaptation has collected on target scans',
}
"""Kinds of statistics."""


def of_kind(method: Method, kind: str, lacking: str) -> list[str]:
  """Returns the names of a method's statistics of a kind, in their order.

  Args:
    method: The method.
    kind: Name from `KINDS`.
    lacking: Message of the error where there are none.

  Raises:
    ValueError: The method has no statistics of this kind.
  """
  names = [name for name, other in method.kinds.items() if other == kind]
  if not names:
    raise ValueError(lacking)
  return names


Adaptation = Callable[[Method], Method]
"""Function that changes a method and returns it: it may change the training batches,
average the parameters or re-estimate the statistics."""


@struct.dataclass
class State:
  """Training state: step, parameters, statistics and states of the optimisers.

  It holds no random key: step s uses fold_in(key, s).
  """

  step: Array
  params: Params
  stats: Stats
  opt: dict[str, Tree]


def bind(method: Method, params: Params, stats: Stats) -> Infer:
  """Returns the inference function of a trained method, with its parameters filled in.

  It maps (batch, key) to outputs, and scorers call it. Outside of the brain the
  expected images (`EXPECTED`) are set to the scan: a score that looks at the neighbours
  of a voxel must not take the background, which z-scoring moves far from 0, for an
  anomaly.
  """

  def infer(batch: Batch, key: Key) -> Outputs:
    outputs = method.infer(params, stats, batch, key)
    expected = {
      name: jnp.where(batch['mask'] > 0, outputs[name], batch['image'])
      for name in EXPECTED
      if name in outputs
    }
    return {**outputs, **expected}

  return infer


def need(outputs: Outputs, scorer: str, *keys: str) -> tuple[Array, ...]:
  """Returns the outputs that a scorer needs, in the order of `keys`.

  Raises:
    ValueError: The method lacks one of these outputs.
  """
  missing = [key for key in keys if key not in outputs]
  if missing:
    raise ValueError(
      f"scorer '{scorer}' needs {', '.join(missing)}; this method gives "
      f'{", ".join(sorted(outputs)) or "nothing"}'
    )
  return tuple(outputs[key] for key in keys)
