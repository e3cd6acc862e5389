"""Quantiles of a stream, from a histogram that lives among a method's stats."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array


class Range(NamedTuple):
  """Evenly spaced bins between `low` and `high`; values beyond count at the ends."""

  low: float
  high: float
  bins: int = 2048


def empty(span: Range) -> Array:
  """Counts [bins], all zero."""
  return jnp.zeros((span.bins,))


def _bin(value: Array, span: Range) -> Array:
  scaled = (value - span.low) / (span.high - span.low) * span.bins
  return jnp.clip(scaled, 0, span.bins - 1).astype(jnp.int32)


def observe(counts: Array, value: Array, weight: Array, span: Range) -> Array:
  """The counts with `value` added, each with its weight (same shape)."""
  return counts.at[_bin(value, span).reshape(-1)].add(weight.reshape(-1))


def quantile(counts: Array, q: float, span: Range) -> Array:
  """The upper edge of the first bin below which a share of at least `q` lies; scalar.

  `high` when nothing has been observed, so that an uncalibrated gate stays closed.
  """
  share = jnp.cumsum(counts) / jnp.maximum(counts.sum(), 1e-6)
  index = jnp.argmax(share >= q)
  edge = span.low + (index + 1) * (span.high - span.low) / span.bins
  return jnp.where(counts.sum() > 0, edge, span.high)
