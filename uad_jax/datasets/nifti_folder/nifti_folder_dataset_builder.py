"""A folder of NIfTI files, BIDS or flat, as slices or volumes on one grid."""

import functools
import os
from collections.abc import Mapping
from typing import Any

from uad_jax.data.cohorts import builder, splits
from uad_jax.data.cohorts import layout as layouts
from uad_jax.data.preprocessing import preprocess
from uad_jax.data.preprocessing.steps import Steps

LAYOUTS = {f.__name__: f for f in (layouts.bids, layouts.flat, layouts.lesion_cohort)}
FIELDS = ('fractions', 'domain', 'keep_going', 'workers')


def config(
  source: str, layout: layouts.Layout, steps: Steps, **options
) -> builder.ScanConfig:
  """The config of a folder, with `FIELDS` of `ScanConfig` as options."""
  told = {
    'source': os.path.abspath(source),
    # What is not asked for is not told, so that a new kind of pattern renames nothing.
    'layout': {k: v for k, v in layout._asdict().items() if v is not None},
    'steps': [[name, dict(parameters)] for name, parameters in steps],
    'fractions': dict(options.get('fractions', splits.HEALTHY)),
    'domain': options.get('domain', ''),
    'keep_going': options.get('keep_going', False),
  }
  return builder.named(
    os.path.basename(os.path.abspath(source)),
    source=source,
    find=functools.partial(_find, layout=layout),
    steps=steps,
    label_map=layout.label_map,
    told=told,
    **options,
  )


def open_builder(
  source: str,
  data_dir: str | os.PathLike | None = None,
  layout: str = 'bids',
  patterns: Mapping[str, Any] | None = None,
  job: Mapping[str, Any] | None = None,
  **options,
) -> 'Builder':
  """The builder of a folder.

  Args:
    source: The folder.
    data_dir: Where prepared datasets lie.
    layout: 'bids', 'flat' or 'lesion_cohort': a function of `data.layout`.
    patterns: Arguments of that function.
    job: Arguments of `preprocess.job`.
    **options: `FIELDS` of `ScanConfig`.
  """
  if layout not in LAYOUTS:
    raise ValueError(f"layout is '{layout}'; allowed are {', '.join(LAYOUTS)}")
  for option in options:
    if option not in FIELDS:
      raise ValueError(
        f"dataset 'nifti_folder' takes no '{option}'; it takes source, layout, "
        f'patterns, job, {", ".join(FIELDS)}'
      )
  made = config(
    os.fspath(source),
    LAYOUTS[layout](**dict(patterns or {})),
    preprocess.job(**dict(job or {})),
    **options,
  )
  return Builder(config=made, data_dir=data_dir, file_format='array_record')


class Builder(builder.ScanBuilder):
  """The scans of one folder."""


def _find(source: str, layout: layouts.Layout):
  return layouts.find(source, layout), []
