"""Builds of miniatures, quick ones, and their records."""

from uad_jax.datasets import catalogue

QUICK = {'preset': 'heer2021', 'shape': (40, 48), 'spacing': 8.0, 'workers': 1}
"""A preset without alignment, on a coarse grid."""


def build(name, source, data_dir, **options):
  made = catalogue.module(name).open_builder(data_dir, source=source, **QUICK | options)
  made.download_and_prepare()
  return made


def records(builder):
  return [r for s in builder.info.splits for r in builder.as_data_source(split=s)]
