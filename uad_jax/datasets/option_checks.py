"""Functions that check the options of data sets before any scan is read.

The options are those of `config.data`. Options that the `open_builder` of a data set
checks itself, such as the names of contrasts and presets, are not checked here.
"""

import inspect
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from uad_jax.data import mixing
from uad_jax.data.cohorts import layout as layouts
from uad_jax.data.preprocessing import intensity, preprocess
from uad_jax.datasets import catalogue
from uad_jax.ops.choices import check_choice, choose
from uad_jax.ops.limits import check_number, check_sizes, check_whole

NEEDED = ('train', 'val', 'test')
"""Splits of `config.data` that must be named; 'selection' may be empty."""

FINEST, COARSEST = 0.05, 20.0
"""Smallest and largest voxel size of prepared scans, mm, as of the scans themselves."""

COARSEST_PICTURE = 1000.0
"""Largest pixel size of prepared 2-D images, mm; the files often state none."""

FOLDERS = ('nifti_folder', 'image_folder')
"""Data sets that have no default source."""

BY_GLOB = ('nifti_folder',)
"""Data sets whose option 'patterns' holds the arguments of a `layout`."""

NO_GLOB = ('label_map', 'labelled', 'lesion_values', 'subject', 'session')
"""Arguments of a layout that are no glob patterns."""

PICTURES = 'image_folder'
"""Data set of 2-D images; the spacing 0 scales each whole image."""


def check(data: Mapping[str, Any], key: str = 'config.data') -> None:
  """Checks the options of all data sets that an experiment uses.

  Args:
    data: `config.data` as plain dicts.
    key: Name of this part of the config, for the error messages.

  Raises:
    ValueError: An option is missing or not possible; the message names the option, its
      value, what is allowed, and the flag that sets it.
  """
  for split in NEEDED:
    if not isinstance(data.get(split), str) or not data[split].strip():
      raise ValueError(
        f"{key}.{split} is '{data.get(split)}'; allowed is the name of a split of the "
        f'data set, such as --{key}.{split}={split}'
      )
  for name, options in mixing.chosen(data).items():
    check_data_set(options, f'{key}.others.{name}' if name else key)


def check_data_set(options: Mapping[str, Any], key: str) -> None:
  """Checks the options of one data set.

  Args:
    options: 'name' of the data set, 'dir' (folder of its prepared data), and the
      options of its `open_builder`.
    key: Name of this part of the config, for the error messages.

  Raises:
    ValueError: An option is missing or not possible.
  """
  check_choice(f'{key}.name', options.get('name'), catalogue.names())
  _check_folder(f'{key}.dir', options['dir'])
  name, source = options['name'], options.get('source')
  if name in FOLDERS and not source:
    raise ValueError(
      f'{key}.source is empty; give the folder of your scans by --{key}.source=DIR'
    )
  for option, checker in CHECKS.items():
    if option in options:
      checker(f'{key}.{option}', options[option])
  if name in BY_GLOB:
    _check_patterns(f'{key}.patterns', options)
  if name in FOLDERS:
    _check_job(f'{key}.job', options.get('job') or {}, name == PICTURES)
  if source:
    _check_source(key, options)


def check_splits(
  builders: Mapping[str, Any], expressions: Mapping[str, Sequence[mixing.Term]]
) -> None:
  """Checks that the data sets of an experiment have scans in each split it uses.

  If a data set is not prepared yet, its source files are counted instead.

  Args:
    builders: TFDS builder of each data set, by name.
    expressions: Parsed split expressions from `mixing.splits`: for each split option
      of `config.data`, such as 'train', the pairs of data set and split it names.

  Raises:
    ValueError: A data set has no scan in a split.
  """
  planned = {
    name: builder.planned_splits()
    for name, builder in builders.items()
    if hasattr(builder, 'planned_splits')
  }
  for key, terms in expressions.items():
    for term in terms:
      counts = planned.get(term.data)
      if not counts or counts.get(term.split):
        continue
      builder = builders[term.data]
      source = getattr(builder.builder_config, 'source', '')
      scans = sum(counts.values())
      names = sorted(counts, key=[*NEEDED, *sorted(counts)].index)
      raise ValueError(
        f"dataset '{builder.name}' has no split '{term.split}'; there are "
        f'{", ".join(names)} in its {scans} scan{"s" if scans > 1 else ""}; set '
        f'--config.data.{key} to one of these'
        + (f', or name splits in a table of subjects in {source}' if source else '')
      )


def _check_source(key: str, options: Mapping[str, Any]) -> None:
  """Checks that the source exists, unless data were prepared from it."""
  source = options['source']
  if not isinstance(source, str | os.PathLike):
    raise ValueError(f'{key}.source is {source}; allowed is the path of a folder')
  if os.path.isdir(source):
    return
  origin = '' if options['name'] not in FOLDERS else os.path.abspath(source)
  stored = catalogue.prepared(options['dir'], options['name'])
  if any(data.scans and data.source == origin for data in stored):
    return
  made = ''
  if options.get('layout') == layouts.lesion_cohort.__name__:
    made = '; `python -m uad_jax.prepare lesions` makes one (README.md)'
  kind = 'a file' if os.path.exists(source) else 'missing'
  raise ValueError(
    f'{key}.source is {source}, which is {kind}; allowed is a folder with scans{made}'
  )


def _check_folder(key: str, path: Any) -> None:
  """Checks that a folder exists or can be made."""
  if not isinstance(path, str | os.PathLike) or not str(path):
    raise ValueError(f"{key} is '{path}'; allowed is the folder of prepared data")
  place = pathlib.Path(path).absolute()
  while not place.exists():
    place = place.parent
  if not place.is_dir():
    raise ValueError(f'{key} is {path}, but {place} is a file; allowed is a folder')
  if place != pathlib.Path(path).absolute() and not os.access(place, os.W_OK):
    raise ValueError(
      f'{key} is {path}, and {place} cannot be written; allowed is a folder that can '
      f'be made, such as --{key}=DIR'
    )


def _check_patterns(key: str, options: Mapping[str, Any]) -> None:
  """Checks the layout of a folder of NIfTI files and its glob patterns."""
  layout, patterns = options.get('layout', 'bids'), options.get('patterns') or {}
  make = choose('layout', layout, layouts.LAYOUTS)
  allowed = inspect.signature(make).parameters
  for name, pattern in patterns.items():
    if pattern is None or (pattern == '' and name not in allowed):
      continue  # not set
    if name not in allowed:
      raise ValueError(
        f"{key} has '{name}', which the layout '{layout}' does not take; it takes "
        f'{", ".join(allowed)}'
      )
    if not isinstance(pattern, str) and name not in NO_GLOB:
      raise ValueError(f'{key}.{name} is {pattern}; allowed is a glob pattern')
    if name not in NO_GLOB and os.path.isabs(pattern):
      raise ValueError(
        f"{key}.{name} is '{pattern}'; allowed are patterns below the source, without "
        "'/' at the start"
      )
  values = patterns.get('lesion_values')
  if values is not None:
    check_sizes(f'{key}.lesion_values', 'empty' if values in ((), []) else values, ())
  if not patterns.get('image', 'some'):
    raise ValueError(f"{key}.image is ''; allowed is a glob pattern, such as *.nii.gz")


def _check_job(key: str, job: Mapping[str, Any], pictures: bool) -> None:
  """Checks the arguments of the function that makes the preprocessing steps."""
  make = preprocess.picture_job if pictures else preprocess.job
  allowed = inspect.signature(make).parameters
  for name in job:
    if name not in allowed:
      raise ValueError(f"{key} has '{name}'; allowed are {', '.join(allowed)}")
  if 'shape' in job:
    check_sizes(f'{key}.shape', job['shape'], (2,) if pictures else (2, 3))
  if 'spacing' in job and not (pictures and job['spacing'] == 0):
    largest = COARSEST_PICTURE if pictures else COARSEST
    check_number(f'{key}.spacing', job['spacing'], FINEST, largest)
  if size := job.get('pixel_mm'):
    for mm in size if isinstance(size, list | tuple) else [size]:
      check_number(f'{key}.pixel_mm', mm, 0, above=True)
  if 'fraction' in job:
    check_number(f'{key}.fraction', job['fraction'], 0, 1)
  if 'intensity' in job:
    check_choice(f'{key}.intensity', job['intensity'], intensity.NORMALISATIONS)
  if 'align' in job:
    _check_switch(f'{key}.align', job['align'])


def _check_shape(key: str, shape: Any) -> None:
  """Checks the shape of a cohort's records; () stands for that of the preset."""
  check_sizes(key, shape, (0, 2, 3) if shape in ((), []) else (2, 3))


def _check_spacing(key: str, spacing: Any) -> None:
  """Checks the voxel size of a cohort's records; 0 stands for that of the preset."""
  if spacing != 0:
    check_number(key, spacing, FINEST, COARSEST)


def _check_switch(key: str, value: Any) -> None:
  if not isinstance(value, bool):
    raise ValueError(f'{key} is {value}; allowed are True and False')


def _check_fractions(key: str, fractions: Any) -> None:
  """Checks the fractions of the splits."""
  if not isinstance(fractions, Mapping) or not fractions:
    raise ValueError(f'{key} is {fractions}; allowed are splits with their fractions')
  for split, fraction in fractions.items():
    check_number(f'{key}.{split}', fraction, 0)
  check_number(f'the sum of {key}', sum(fractions.values()), 0, above=True)


def _check_atlas(key: str, path: Any) -> None:
  if path and not os.path.isfile(path):
    raise ValueError(
      f"{key} is {path}, which is no file; allowed is a NIfTI file or ''"
    )


CHECKS: Mapping[str, Callable[[str, Any], None]] = {
  'shape': _check_shape,
  'spacing': _check_spacing,
  'keep_going': _check_switch,
  'beam': _check_switch,
  'workers': lambda key, value: check_whole(key, value, 1),
  'fractions': _check_fractions,
  'atlas': _check_atlas,
}
"""Checks of options by name, whatever the data set."""
