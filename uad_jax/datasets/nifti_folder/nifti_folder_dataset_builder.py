"""TFDS builder of a folder of NIfTI files, in BIDS format or in another layout."""

import functools
import inspect
import os
import re
from collections.abc import Mapping
from typing import Any

from uad_jax.data.cohorts import builder, splits
from uad_jax.data.cohorts import layout as layouts
from uad_jax.data.preprocessing import preprocess
from uad_jax.data.preprocessing.steps import Steps

FIELDS = ('fractions', 'domain', 'keep_going', 'workers')
"""Fields of `ScanConfig` that `open_builder` takes as options."""

GLOBS = ('image', 'mask', 'labels', 'lesion', 'twin')
"""Patterns that are globs, in which braces such as {id} stand for nothing."""


def config(
  source: str, layout: layouts.Layout, steps: Steps, **options
) -> builder.ScanConfig:
  """Creates the TFDS config of a folder of NIfTI files.

  Args:
    source: Path of the folder.
    layout: Patterns of the files.
    steps: Preprocessing steps, pairs (name, parameters).
    **options: Fields of `ScanConfig` whose names are in `FIELDS`.

  Returns:
    Config with the name FOLDER-SIZE-HASH.
  """
  identity = {
    'source': os.path.abspath(source),
    # Without the fields that are None, so that a new field of `Layout` changes no hash.
    'layout': {k: v for k, v in layout._asdict().items() if v is not None},
    'steps': [[name, dict(parameters)] for name, parameters in steps],
    'fractions': dict(options.get('fractions', splits.HEALTHY)),
    'domain': options.get('domain', ''),
    'keep_going': options.get('keep_going', False),
  }
  return builder.named_config(
    os.path.basename(os.path.abspath(source)),
    source=source,
    find=functools.partial(_find, layout=layout),
    steps=steps,
    label_map=layout.label_map,
    identity=identity,
    **options,
  )


def open_builder(
  source: str,
  data_dir: str | os.PathLike | None = None,
  layout: str = 'bids',
  patterns: Mapping[str, Any] | None = None,
  job: Mapping[str, Any] | None = None,
  steps: Steps = (),
  **options,
) -> 'Builder':
  """Creates the TFDS builder of a folder of NIfTI files for the given options.

  Args:
    source: Path of the folder.
    data_dir: Folder of the prepared data sets; None for the default of TFDS.
    layout: Function of `data.cohorts.layout`: 'bids', 'flat' or 'lesion_cohort'.
    patterns: Arguments of the layout: glob patterns of the files, and the regular
      expressions 'subject' and 'session'; those that are None are left out.
    job: Arguments of `preprocess.job`, which makes the preprocessing steps.
    steps: Preprocessing steps that replace those of the job; () for none.
    **options: Fields of `ScanConfig` whose names are in `FIELDS`.

  Raises:
    ValueError: The layout, a pattern or an option is unknown.
  """
  if layout not in layouts.LAYOUTS:
    raise ValueError(f"layout is '{layout}'; allowed are {', '.join(layouts.LAYOUTS)}")
  for option in options:
    if option not in FIELDS:
      raise ValueError(
        f"dataset 'nifti_folder' takes no '{option}'; it takes source, layout, "
        f'patterns, job, steps, {", ".join(FIELDS)}'
      )
  settings = config(
    os.fspath(source),
    layouts.LAYOUTS[layout](**_arguments(layout, patterns or {})),
    tuple((name, dict(parameters)) for name, parameters in steps)
    or preprocess.job(**dict(job or {})),
    **options,
  )
  return Builder(config=settings, data_dir=data_dir, file_format='array_record')


class Builder(builder.ScanBuilder):
  """TFDS builder of a folder of NIfTI files."""


def _arguments(layout: str, patterns: Mapping[str, Any]) -> dict[str, Any]:
  """The patterns that a layout takes, without those that are not set."""
  allowed = inspect.signature(layouts.LAYOUTS[layout]).parameters
  unknown = [name for name in patterns if name not in allowed]
  for name in unknown:
    if patterns[name]:
      raise ValueError(
        f"the layout '{layout}' takes no pattern '{name}'; it takes "
        f'{", ".join(allowed)}'
      )
  for name in {*GLOBS} & {*patterns}:
    if place := re.search(r'\{\w*\}', str(patterns[name] or '')):
      raise ValueError(
        f"the pattern '{name}' is '{patterns[name]}', in which {place[0]} is not "
        'understood; allowed are the wildcards *, ? and **, as files are matched to '
        'scans by subject and session'
      )
  return {k: v for k, v in patterns.items() if v is not None and k not in unknown}


def _find(source: str, layout: layouts.Layout):
  """Scans of the folder, and no absent ones (`scan_config.Find`)."""
  return layouts.find(source, layout), []
