"""Preparing and writing with Apache Beam, for cohorts of tens of thousands."""

import os
from collections.abc import Callable, Sequence

try:
  import apache_beam as beam
except ImportError as error:
  raise ModuleNotFoundError(
    '--beam needs Apache Beam; install it by `pip install uad_jax[beam]`'
  ) from error

OPTIONS = 'UAD_BEAM'
"""Environment variable with options of the pipeline: '--runner=FlinkRunner ...'."""


def options() -> beam.options.pipeline_options.PipelineOptions:
  """The options of `UAD_BEAM`; without it Beam's direct runner."""
  asked = os.environ.get(OPTIONS)
  flags = asked.split() if asked else ['--runner=DirectRunner']
  return beam.options.pipeline_options.PipelineOptions(flags)


def run(work: Callable, items: Sequence) -> None:
  """Runs work(item) on each item; what it gives is left to the folder it writes to."""
  with beam.Pipeline(options=options()) as pipeline:
    _ = pipeline | beam.Create(list(items)) | beam.Reshuffle() | beam.Map(work)


def records(work: Callable, items: Sequence) -> beam.PTransform:
  """The (key, record) pairs of all items, as TFDS takes them from a builder."""
  return beam.Create(list(items)) | beam.Reshuffle() | beam.FlatMap(work)
