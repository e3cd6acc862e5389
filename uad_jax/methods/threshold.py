"""Baseline without a model: the anomaly map is the intensity of the scan itself.

The scorer `input_threshold` reads the scan.
"""

from uad_jax.method import Method


def make(shape: tuple[int, ...], channels: int = 1) -> Method:
  """Creates a method without network or training, for the intensity-threshold baseline.

  The scorer `input_threshold` needs only the scan.

  Args:
    shape: Not used.
    channels: Not used.
  """
  return Method(lambda key, batch: ({}, {}), {}, lambda params, stats, batch, key: {})
