"""Evidence that a voxel is not normal variability, calibrated on healthy scans."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from uad_jax.ops.streaming_quantile import Range, empty, observe, quantile
from uad_jax.registration import gate

Array = jax.Array

KINDS = {
  'standardised': Range(0.0, 40.0),
  'epistemic': Range(-14.0, 4.0),
  'learned': Range(-20.0, 20.0),
}
"""What can open the gate, and the range in which it is calibrated: the residual in
units of the healthy deviation, the log spread of the heads, a network's logit."""

SLOPE = 1.5
"""Of the sigmoid about the calibrated limit."""


def check(names: Sequence[str], of: str) -> None:
  """Raises unless all names are kinds of evidence."""
  for name in names:
    if name not in KINDS:
      raise ValueError(f"{of}: unknown evidence '{name}'; there are {', '.join(KINDS)}")


def uncalibrated() -> dict[str, Array]:
  """Nothing seen: the gate stays closed."""
  return {name: empty(span) for name, span in KINDS.items()}


def calibrate(
  counts: Mapping[str, Array], found: Mapping[str, Array], weight: Array
) -> dict[str, Array]:
  """The counts with the evidence of healthy voxels [B, *S, 1] added, by weight."""
  return {
    name: observe(counts[name], found[name], weight, span)
    for name, span in KINDS.items()
  }


def open_gate(
  counts: Mapping[str, Array],
  found: Mapping[str, Array],
  mask: Array,
  names: Sequence[str],
  healthy_share: float,
  hinge: bool,
) -> Array:
  """The gate [B, *S, 1] of the strongest evidence, smoothed and hinged.

  Args:
    counts: Of `calibrate`.
    found: Evidence by kind, [B, *S, 1], higher is less healthy.
    mask: Brain [B, *S, 1].
    names: The kinds that may open the gate; none leaves it closed.
    healthy_share: Share of healthy voxels at which all kinds together may open it;
      each gets an equal part.
    hinge: Close the gate to exactly 0 below its floor.
  """
  h = jnp.zeros_like(mask)
  for name in names:
    limit = quantile(counts[name], 1 - healthy_share / len(names), KINDS[name])
    h = jnp.maximum(h, jax.nn.sigmoid(SLOPE * (found[name] - limit)) * mask)
  return gate.gate(h, hinge=hinge) * mask
