"""Functions that ask whether a scan lies within the training domain of a run.

The gate (`domain_shift.gate`) compares statistics of the preprocessed scan with those
of the healthy validation scans, which were prepared in the same way: with estimated
brain masks if the scan's is estimated. It is asked before the inference.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.data.preprocessing.preprocess import Prepared
from uad_jax.domain_shift import gate, statistics
from uad_jax.prediction import reference
from uad_jax.prediction.detection import stacks
from uad_jax.trained_run import TrainedRun


def gate_of(run: TrainedRun, chain: Sequence[Mapping[str, Any]]) -> gate.Gate | None:
  """Makes the gate of a run from the statistics of its healthy validation scans.

  Args:
    run: Trained run.
    chain: Preprocessing steps of the scan, see `reference.ranges`.

  Returns:
    The gate; None if the run has stored fewer than `gate.LEAST` scans, or no statistic
    that the gate uses.
  """
  stored = reference.ranges(run, chain).get('statistics', {})
  names = [name for name in gate.DIFFUSE if name in stored]
  rows = list(zip(*(stored[name] for name in names), strict=True))
  if len(rows) < gate.LEAST:
    return None
  return gate.fit([dict(zip(names, row, strict=True)) for row in rows], names)


def ask(prepared: Prepared, run: TrainedRun) -> gate.Answer | None:
  """Asks the gate of a run about a preprocessed scan.

  Args:
    prepared: Scan that went through `run.steps`.
    run: Trained run.

  Returns:
    Answer of the gate; None if the run has no gate, or a statistic of the scan is
    undefined.
  """
  known = gate_of(run, prepared.chain)
  if known is None:
    return None
  stack = stacks(prepared, run)[0]
  brain = prepared.mask[:, :, stack]
  if not (brain > 0).any():
    return None
  scan = statistics.of_scan(prepared.image[:, :, stack], brain)
  if not all(math.isfinite(scan[name]) for name in known.names):
    return None
  return gate.ask(known, scan)


def check(prepared: Prepared, run: TrainedRun, refuse: bool) -> dict[str, Any]:
  """Warns of a scan outside of the training domain, or refuses it.

  A run without a gate compares the intensities, see `reference.check_intensities`.

  Args:
    prepared: Scan that went through `run.steps`.
    run: Trained run.
    refuse: Whether a scan outside of the training domain is an error.

  Returns:
    Entries of the sidecar: the p-value 'domain_p' and whether the scan is 'outside';
    None if the run has no gate.

  Raises:
    BadScan: The scan lies outside of the training domain, and `refuse` is true.
  """
  answer = ask(prepared, run)
  if answer is None:
    reference.check_intensities(prepared, run)
    return {'domain_p': None, 'outside': None}
  outside = gate.outside(answer)
  if outside and refuse:
    raise BadScan(f'{gate.sentence(answer)}, and --refuse is set')
  if outside:
    warnings.warn(gate.sentence(answer), stacklevel=2)
  return {'domain_p': answer.p, 'outside': outside}
