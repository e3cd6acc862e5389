"""Functions that compute a map of the voxels unlikely to be healthy, called the gate.

The gate is near 1 (open) at such voxels. It is computed from lesion evidence, several
measures of how unhealthy a voxel looks, which are calibrated on healthy scans.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from uad_jax.method import Array
from uad_jax.ops.choices import check_choice
from uad_jax.ops.streaming_quantile import Range, empty, observe, quantile
from uad_jax.registration import gate

KINDS = {
  'standardised': Range(0.0, 40.0),
  'epistemic': Range(-14.0, 4.0),
  'learned': Range(-20.0, 20.0),
}
"""Range of the histogram of each kind of lesion evidence: 'standardised', the
residual in standard deviations of healthy scans; 'epistemic', the log variance of the
decoder's heads; 'learned', the lesion logit of the gate network."""

SLOPE = 1.5
"""Slope of the sigmoid that maps evidence above its calibrated limit to [0, 1]."""


def check(names: Sequence[str], method: str) -> None:
  """Raises an error if a name is not one of the measures of lesion evidence in `KINDS`.

  Args:
    names: Names from `KINDS`.
    method: Name of the method, for the error message.

  Raises:
    ValueError: A name is not in `KINDS`.
  """
  for name in names:
    check_choice('evidence', name, KINDS, method)


def uncalibrated() -> dict[str, Array]:
  """Creates the histograms that calibrate the gate, still empty.

  There is one for each kind of lesion evidence. While they are empty, the
  gate stays closed (0).

  Returns:
    Counts [bins], by kind.
  """
  return {name: empty(span) for name, span in KINDS.items()}


def calibrate(
  counts: Mapping[str, Array], evidence: Mapping[str, Array], weight: Array
) -> dict[str, Array]:
  """Updates the histograms that calibrate the gate with a batch of healthy scans.

  Each counts one kind of evidence, a measure of how unhealthy a voxel looks.

  Args:
    counts: Histograms by kind, [bins].
    evidence: Evidence by kind, [B, *S, 1].
    weight: Weight of each voxel [B, *S, 1], 0 outside the brain and for padding.

  Returns:
    The new histograms by kind, [bins].
  """
  return {
    name: observe(counts[name], evidence[name], weight, span)
    for name, span in KINDS.items()
  }


def open_gate(
  counts: Mapping[str, Array],
  evidence: Mapping[str, Array],
  mask: Array,
  names: Sequence[str],
  healthy_share: float,
  hinge: bool,
) -> Array:
  """Computes the gate, a map that is near 1 where a voxel is unlikely to be healthy.

  It opens where one kind of evidence exceeds its limit, the quantile that a share
  healthy_share / len(names) of the healthy voxels exceeds. The gate is
  `registration.gate.gate(h)`, h = max_k sigmoid(slope (evidence_k - limit_k)).

  Args:
    counts: Histograms of the evidence in healthy scans by kind, from `calibrate`.
    evidence: Evidence by kind, [B, *S, 1], higher is less healthy.
    mask: Brain mask [B, *S, 1].
    names: Kinds that may open the gate; none leaves it closed.
    healthy_share: Share of healthy voxels, in (0, 1), at which all kinds together may
      open the gate; each kind gets an equal part.
    hinge: Set the gate to exactly 0 below a threshold, see `registration.gate.gate`.

  Returns:
    [B, *S, 1] in [0, 1], 0 outside the brain.
  """
  h = jnp.zeros_like(mask)
  for name in names:
    limit = quantile(counts[name], 1 - healthy_share / len(names), KINDS[name])
    h = jnp.maximum(h, jax.nn.sigmoid(SLOPE * (evidence[name] - limit)) * mask)
  return gate.gate(h, hinge=hinge) * mask
