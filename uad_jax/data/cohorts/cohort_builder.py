"""TFDS builder of a public data set (cohort), and functions that configure it."""

import functools
import inspect
import os
import pathlib
from collections.abc import Sequence

from uad_jax.data.cohorts import cohort as tables
from uad_jax.data.cohorts import download
from uad_jax.data.cohorts.builder import ScanBuilder, ScanConfig, named_config
from uad_jax.data.cohorts.cohort import Cohort
from uad_jax.data.preprocessing import presets
from uad_jax.data.preprocessing.steps import Steps

GIVEN = 'given'
"""Word in a config name instead of a preset, if the steps are given one by one."""


def config(
  cohort: Cohort,
  contrast: str = '',
  form: str = presets.SLICES,
  preset: str = presets.DEFAULT,
  shape: Sequence[int] = (),
  spacing: float = 0.0,
  brain: str = 'auto',
  bias: str = '',
  atlas: str = '',
  steps: Steps = (),
  lesion_values: Sequence[int] = (),
  tree: str = '',
  source: str = '',
  keep_going: bool = False,
  workers: int = 2,
  beam: bool = False,
) -> ScanConfig:
  """Creates the TFDS config of a public data set (cohort) from the chosen options.

  Args:
    cohort: The public data set.
    contrast: Contrast of the scans; '' for the first one of the cohort.
    form: 'slices' or 'volumes'.
    preset: Name of a list of preprocessing steps, a key of `presets.PRESETS`.
    shape: Shape of a record in voxels: two sizes for slices, three for volumes; () for
      that of the preset.
    spacing: Voxel size in mm; 0 for that of the preset.
    brain: Method of skull stripping, see the step `brain_mask`.
    bias: Bias correction: 'own', 'n4' or 'none'; '' for that of the preset.
    atlas: Path of a skull-stripped T1 template to align to; '' for the MNI152.
    steps: Preprocessing steps that replace the steps of the preset; () for none.
    lesion_values: Numbers of the lesion files that mean lesion; () for those of the
      cohort.
    tree: Name of the release; '' if the source holds only one.
    source: Folder of the provider's files; '' for the manual_dir of TFDS.
    keep_going: Whether bad scans are left out and listed in the manifest; if not, the
      first one stops the build.
    workers: Number of processes that prepare scans.
    beam: Whether to prepare and write with Apache Beam.

  Returns:
    Config with the name CONTRAST-FORM-PRESET-SIZE-HASH.
  """
  contrast = contrast or cohort.contrasts[0]
  tables.check(cohort, contrast, tree)
  request = presets.Request(contrast, form, tuple(shape), spacing, brain, bias, atlas)
  steps = tuple((name, dict(options)) for name, options in steps)
  preset = GIVEN if steps else preset
  steps = steps or presets.steps(preset, request)
  listed = tables.listed(folder_of(cohort.name))
  identity = {
    'cohort': cohort.name,
    'contrast': contrast,
    'preset': preset,
    'tree': tree,
    'trees': [
      [t.name, list(t.of(contrast))] for t in cohort.trees if contrast in t.contrasts
    ],
    'steps': [[name, dict(parameters)] for name, parameters in steps],
    'lesion_values': list(lesion_values),
    'fractions': dict(cohort.fractions),
    'listed': dict(listed),
  }
  return named_config(
    f'{contrast}-{form}-{preset}',
    description=f'{contrast}, {form}, preprocessing {preset}.',
    source=os.fspath(source),
    find=functools.partial(
      _find, cohort=cohort, contrast=contrast, tree=tree, values=tuple(lesion_values)
    ),
    steps=steps,
    label_map=cohort.trees[0].layout.label_map,
    identity=identity,
    fractions=cohort.fractions,
    listed=listed,
    healthy=cohort.healthy,
    domain=cohort.name,
    keep_going=keep_going,
    workers=workers,
    beam=beam,
  )


def parse(cohort: Cohort, name: str) -> ScanConfig:
  """Creates the TFDS config of a cohort from a name such as 't2-volumes-baur2021'.

  Args:
    cohort: The public data set.
    name: CONTRAST-FORM-PRESET; words that are left out at the end have their defaults.

  Raises:
    ValueError: The name has more than three words.
  """
  words = name.split('-') if name else []
  if len(words) > 3:
    raise ValueError(f"config is '{name}'; allowed is CONTRAST-FORM-PRESET")
  options = zip(('contrast', 'form', 'preset'), words, strict=False)
  return config(cohort, **dict(options))


class CohortBuilder(ScanBuilder, skip_registration=True):
  """Base class of the TFDS builders of public data sets (cohorts).

  A subclass sets the class attribute `COHORT` to the description of its data set.

  TFDS can load it by the contrast, the form ('slices' or 'volumes') and the preset,
  as in 'ixi/t2-volumes-baur2021', see `parse`.
  """

  COHORT: Cohort

  def __init_subclass__(cls, **kwargs):
    cohort = cls.COHORT
    cls.MANUAL_DOWNLOAD_INSTRUCTIONS = cohort.instructions
    cls.ABOUT = {
      'description': f'{cohort.title}. {cohort.access}',
      'homepage': cohort.homepage,
      'citation': cohort.paper,
      'license': cohort.licence,
    }
    super().__init_subclass__(**kwargs)

  def __init__(self, *, config: ScanConfig | str | None = None, **kwargs):
    if not isinstance(config, ScanConfig):
      config = parse(self.COHORT, config or '')
    super().__init__(config=config, **kwargs)

  def source(self, dl_manager) -> str:
    """Returns the folder that holds the original files of the data set's provider.

    This is the source of the config if it is set; else the folder of the downloads if
    it exists; else the manual_dir of TFDS.

    Raises:
      ValueError: None of them exists.
    """
    settings = self.builder_config
    if settings.source:
      return settings.source
    downloads = download.folder(self._data_dir_root, self.COHORT.name)
    try:
      return str(downloads if downloads.is_dir() else dl_manager.manual_dir)
    except AssertionError:  # raised by TFDS if the manual_dir does not exist
      raise ValueError(
        f'{self.name}/{settings.name} is not prepared in {self._data_dir_root}; build '
        f'it by `python -m uad_jax.prepare build {self.name} --source=DIR` '
        f'(`list {self.name}` tells how to get it)'
      ) from None


def open_builder(
  builder: type[CohortBuilder], data_dir: str | os.PathLike | None = None, **options
) -> CohortBuilder:
  """Creates the TFDS builder of a cohort for the given options of its config.

  Args:
    builder: Class of the builder.
    data_dir: Folder of the prepared data sets; None for the default of TFDS.
    **options: Arguments of `config`, except the cohort.

  Raises:
    ValueError: An option is not an argument of `config`.
  """
  allowed = list(inspect.signature(config).parameters)[1:]
  for option in options:
    if option not in allowed:
      raise ValueError(
        f"dataset '{builder.COHORT.name}' takes no '{option}'; it takes "
        f'{", ".join(allowed)}'
      )
  settings = config(builder.COHORT, **options)
  return builder(config=settings, data_dir=data_dir, file_format='array_record')


def folder_of(name: str) -> pathlib.Path:
  """Returns the folder that holds the TFDS builder and the split list of a data set."""
  return pathlib.Path(__file__).resolve().parents[2] / 'datasets' / name


def _find(source: str, cohort: Cohort, contrast: str, tree: str, values):
  """Scans with lesion values, and sentences on absent ones (`scan_config.Find`)."""
  entries, absent = tables.find(source, cohort, contrast, tree)
  if values:
    entries = [entry._replace(lesion_values=values) for entry in entries]
  return entries, absent
