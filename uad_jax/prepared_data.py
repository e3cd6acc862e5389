"""Functions that open and prepare the TFDS data sets of an experiment's config."""

import pathlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from uad_jax import parallel
from uad_jax.data import mixing
from uad_jax.datasets import catalogue, option_checks
from uad_jax.registry import call, plain, without


def make_builder(options: Mapping[str, Any], kept: str = '') -> Any:
  """Makes the TFDS builder of a data set, but does not prepare its data yet.

  Args:
    options: 'name' of the data set, 'dir' (folder of its prepared data), and the
      options of its `open_builder`.
    kept: For a run that continues, 'data' of its model.json: names of its prepared
      data, which are used even if their source has changed; '' for a new run.
  """
  name, settings = options['name'], without(options, 'name', 'dir')
  data_dir = pathlib.Path(options['dir']).resolve()
  make = catalogue.module(name).open_builder
  builder = call(f"dataset '{name}'", make, settings, data_dir=data_dir)
  # Simulated data have no source that could change.
  return builder.up_to_date(kept) if hasattr(builder, 'up_to_date') else builder


def prepare(builder: Any) -> None:
  """Prepares the data of a TFDS builder on disk, unless they are prepared already.

  In a distributed job the first host prepares them, and the others wait for it.
  """
  if parallel.leads():
    builder.download_and_prepare()
  parallel.wait()
  if not parallel.leads():  # which may not see the same disk
    builder.download_and_prepare()


def open_data(data: ConfigDict, kept: str = '') -> dict[str, Any]:
  """Opens every data set used in the splits of a config and prepares missing ones.

  Args:
    data: `config.data`.
    kept: As for `make_builder`.

  Returns:
    TFDS builders by name of the data set.
  """
  builders = make_builders(plain(data), kept)
  for builder in builders.values():
    prepare(builder)
  return builders


def make_builders(data: Mapping[str, Any], kept: str = '') -> dict[str, Any]:
  """Makes the TFDS builders of an experiment and checks that they have its splits.

  The test split is not needed to train.

  Args:
    data: `config.data` in the form that `plain` returns.
    kept: As for `make_builder`.

  Raises:
    ValueError: An option of a data set is not possible, a split is missing, or the data
      sets have images of different shapes.
  """
  option_checks.check(data)
  chosen = mixing.chosen(data)
  builders = {name: make_builder(options, kept) for name, options in chosen.items()}
  mixing.check_agreement(builders)
  option_checks.check_splits(builders, without(mixing.splits(data), 'test'))
  return builders
