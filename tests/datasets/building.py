"""Builds data sets from miniature cohorts on a coarse grid, and reads their records."""

from uad_jax.datasets import catalogue

QUICK = {'preset': 'heer2021', 'shape': (40, 48), 'spacing': 8.0, 'workers': 1}
"""Options of `open_builder`: a preset without alignment, on a coarse grid."""


def build(name, source, data_dir, **options):
  builder = catalogue.module(name).open_builder(
    data_dir, source=source, **QUICK | options
  )
  builder.download_and_prepare()
  return builder


def records(builder):
  return [r for s in builder.info.splits for r in builder.as_data_source(split=s)]
