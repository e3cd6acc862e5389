"""Prepares and writes data sets with Apache Beam, for cohorts of many scans."""

import os
from collections.abc import Callable, Sequence

try:
  import apache_beam as beam
except ImportError as error:
  raise ModuleNotFoundError(
    '--beam needs Apache Beam; install it by `pip install uad_jax[beam]`'
  ) from error

OPTIONS = 'UAD_BEAM'
"""Environment variable with options of the pipeline, as '--runner=FlinkRunner ...'."""


def options() -> beam.options.pipeline_options.PipelineOptions:
  """Reads the options of a pipeline from UAD_BEAM; by default, the direct runner."""
  text = os.environ.get(OPTIONS)
  flags = text.split() if text else ['--runner=DirectRunner']
  return beam.options.pipeline_options.PipelineOptions(flags)


def run(work: Callable, items: Sequence) -> None:
  """Calls a function on each item in a Beam pipeline, without collecting the results.

  Args:
    work: Function of an item that writes its result to a folder.
    items: Arguments of the calls.
  """
  with beam.Pipeline(options=options()) as pipeline:
    _ = pipeline | beam.Create(list(items)) | beam.Reshuffle() | beam.Map(work)


def records(work: Callable, items: Sequence) -> beam.PTransform:
  """Makes the transform that yields the pairs (key, record) of all items, for TFDS.

  Args:
    work: Function from an item to its pairs (key, record).
    items: Arguments of the calls.
  """
  return beam.Create(list(items)) | beam.Reshuffle() | beam.FlatMap(work)
