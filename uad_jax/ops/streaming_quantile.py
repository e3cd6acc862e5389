"""Functions that estimate quantiles with a histogram, updated batch by batch."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array


class Range(NamedTuple):
  """Range and number of the evenly spaced bins of a histogram.

  Values below or above the range are counted in the first or the last bin.

  Attributes:
    low: Lower edge of the first bin.
    high: Upper edge of the last bin.
    bins: Number of bins.
  """

  low: float
  high: float
  bins: int = 2048


def empty(span: Range) -> Array:
  """Creates the counts of an empty histogram, one zero per bin."""
  return jnp.zeros((span.bins,))


def _bin(value: Array, span: Range) -> Array:
  """Index of the bin of each value."""
  scaled = (value - span.low) / (span.high - span.low) * span.bins
  return jnp.clip(scaled, 0, span.bins - 1).astype(jnp.int32)


def observe(counts: Array, value: Array, weight: Array, span: Range) -> Array:
  """Updates the counts of a histogram with weighted values.

  Args:
    counts: Counts of the histogram [bins].
    value: Values of any shape.
    weight: Weight of each value, in the shape of `value`; 0 leaves a value out.
    span: Range of the histogram.

  Returns:
    The new counts [bins].

  Examples:
    >>> span = Range(0.0, 4.0, bins=4)
    >>> value, weight = jnp.array([0.5, 2.5, 99.0]), jnp.array([1.0, 1.0, 2.0])
    >>> observe(empty(span), value, weight, span).tolist()
    [1.0, 0.0, 1.0, 2.0]
  """
  return counts.at[_bin(value, span).reshape(-1)].add(weight.reshape(-1))


def quantile(counts: Array, q: float, span: Range) -> Array:
  """Estimates a quantile of the values that a histogram has counted.

  The result is a scalar, the upper edge of the first bin up to which at least a share
  `q` of the counts lies. Without any counted value it is `span.high`, so that a gate
  with this threshold stays closed until it is calibrated.

  Args:
    counts: Counts of the histogram [bins].
    q: Share of the counts in (0, 1].
    span: Range of the histogram.

  Examples:
    >>> span = Range(0.0, 4.0, bins=4)
    >>> float(quantile(jnp.array([5.0, 3.0, 1.0, 1.0]), 0.8, span))
    2.0
    >>> float(quantile(empty(span), 0.8, span))
    4.0
  """
  share = jnp.cumsum(counts) / jnp.maximum(counts.sum(), 1e-6)
  index = jnp.argmax(share >= q)
  edge = span.low + (index + 1) * (span.high - span.low) / span.bins
  return jnp.where(counts.sum() > 0, edge, span.high)
