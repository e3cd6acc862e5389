"""Functions that run the preparation of large data sets as Apache Beam pipelines."""

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
  """Reads the options of the Beam pipeline from the environment variable UAD_BEAM.

  If the variable is not set, the pipeline runs on this machine (DirectRunner).
  """
  text = os.environ.get(OPTIONS)
  flags = text.split() if text else ['--runner=DirectRunner']
  return beam.options.pipeline_options.PipelineOptions(flags)


def run(work: Callable, items: Sequence) -> None:
  """Calls a function on each item in a Beam pipeline and discards the return values.

  Args:
    work: Function of one item, which writes its result to a folder.
    items: Items, each the argument of one call.
  """
  with beam.Pipeline(options=options()) as pipeline:
    _ = pipeline | beam.Create(list(items)) | beam.Reshuffle() | beam.Map(work)


def records(work: Callable, items: Sequence) -> beam.PTransform:
  """Returns the Beam transform that computes TFDS records from prepared scans.

  Args:
    work: Function from one item to its pairs (key, record).
    items: Items, one for each prepared scan.

  Returns:
    Transform that yields the pairs (key, record) of all items.
  """
  return beam.Create(list(items)) | beam.Reshuffle() | beam.FlatMap(work)
