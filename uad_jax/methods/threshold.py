"""Baseline without a model, for the scorer `input_threshold`, which reads the image."""

from uad_jax.method import Method


def make(shape: tuple[int, ...], channels: int = 1) -> Method:
  """Makes a method without training and without outputs.

  Args:
    shape: Not used.
    channels: Not used.
  """
  return Method(lambda key, batch: ({}, {}), {}, lambda params, stats, batch, key: {})
