"""TFDS builder of a folder of 2-D images: MVTec AD, BMAD, MedIAnomaly or globs."""

import functools
import inspect
import os
from collections.abc import Mapping
from typing import Any

from uad_jax.data.cohorts import builder, image_layout, splits
from uad_jax.data.cohorts.entry import Entry
from uad_jax.data.preprocessing import preprocess
from uad_jax.data.preprocessing.steps import Steps
from uad_jax.ops.choices import check_choice, choose

FIELDS = ('domain', 'keep_going', 'workers')
"""Fields of `ScanConfig` that `open_builder` takes as options."""

SET_ASIDE = {'train': 0.9, 'val': 0.1}
"""Fractions of the training subjects that stay, and that validate if the folder has no
validation images."""


def find(
  source: str,
  layout: str,
  patterns: Mapping[str, Any],
  fractions: Mapping[str, float],
) -> tuple[list[Entry], list[str]]:
  """Finds the images of a folder and the split that each belongs to.

  If the folder has no healthy validation images (split 'val'), some of the training
  subjects become 'val'.

  Args:
    source: Folder of the images.
    layout: Name of a function in `image_layout.LAYOUTS`.
    patterns: Arguments of the layout.
    fractions: Fractions of the training subjects for 'train' and 'val', used if the
      folder has no healthy validation images.

  Returns:
    The images, and an empty list of missing ones, as `scan_config.Find` requires.
  """
  entries = image_layout.LAYOUTS[layout](source, **patterns)
  if not any(entry.split == 'val' for entry in entries):
    entries = [
      entry._replace(split=splits.hashed_split(entry.subject, fractions))
      if entry.split == 'train'
      else entry
      for entry in entries
    ]
  return entries, []


def open_builder(
  source: str,
  data_dir: str | os.PathLike | None = None,
  layout: str = 'folders',
  patterns: Mapping[str, Any] | None = None,
  job: Mapping[str, Any] | None = None,
  steps: Steps = (),
  fractions: Mapping[str, float] | None = None,
  **options,
) -> 'Builder':
  """Creates the TFDS builder of a folder of 2-D images for the given options.

  Args:
    source: Path of the folder.
    data_dir: Folder of the prepared data sets; None for the default of TFDS.
    layout: Name of a function in `image_layout.LAYOUTS`: 'folders' or 'patterns'.
    patterns: Arguments of the layout, such as glob patterns; empty ones are ignored.
    job: Arguments of `preprocess.picture_job`, which makes the preprocessing steps.
    steps: Preprocessing steps that replace those of the job; () for none.
    fractions: As for `find`; `SET_ASIDE` by default.
    **options: Fields of `ScanConfig` whose names are in `FIELDS`.

  Raises:
    ValueError: The layout or an option is unknown.
  """
  make = choose('layout', layout, image_layout.LAYOUTS, "dataset 'image_folder'")
  arguments = {key: value for key, value in (patterns or {}).items() if value}
  for name in arguments:
    allowed = [key for key in inspect.signature(make).parameters if key != 'source']
    check_choice('pattern', name, allowed, f"layout '{layout}'")
  for option in options:
    if option not in FIELDS:
      raise ValueError(
        f"dataset 'image_folder' takes no '{option}'; it takes source, layout, "
        f'patterns, job, steps, fractions, {", ".join(FIELDS)}'
      )
  steps = tuple((name, dict(parameters)) for name, parameters in steps)
  steps = steps or preprocess.picture_job(**dict(job or {}))
  fractions = dict(fractions or SET_ASIDE)
  source = os.path.abspath(source)
  identity = {
    'source': source,
    'layout': layout,
    'patterns': arguments,
    'steps': [[name, dict(parameters)] for name, parameters in steps],
    'fractions': fractions,
    **{key: value for key, value in options.items() if key != 'workers'},
  }
  config = builder.named_config(
    os.path.basename(source),
    source=source,
    find=functools.partial(
      find, layout=layout, patterns=arguments, fractions=fractions
    ),
    steps=steps,
    label_map={},
    identity=identity,
    **options,
  )
  return Builder(config=config, data_dir=data_dir, file_format='array_record')


class Builder(builder.ScanBuilder):
  """TFDS builder of a folder of 2-D images."""
