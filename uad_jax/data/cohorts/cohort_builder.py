"""The builder of a cohort of the field: its tables, a contrast, a form and a preset."""

import functools
import inspect
import os
import pathlib
from collections.abc import Sequence

from uad_jax.data.cohorts import cohort as tables
from uad_jax.data.cohorts import download
from uad_jax.data.cohorts.builder import ScanBuilder, ScanConfig, named
from uad_jax.data.cohorts.cohort import Cohort
from uad_jax.data.preprocessing import presets


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
  lesion_values: Sequence[int] = (),
  tree: str = '',
  source: str = '',
  keep_going: bool = False,
  workers: int = 2,
  beam: bool = False,
) -> ScanConfig:
  """The config of a cohort.

  Args:
    cohort: What to build.
    contrast: One of the cohort's; '' for its first.
    form: 'slices' or 'volumes'.
    preset: A function of `presets`; shape, spacing, brain, bias and atlas change it,
      see `presets.Request`.
    shape: See above.
    spacing: See above.
    brain: See above.
    bias: See above.
    atlas: See above.
    lesion_values: Numbers of the lesion files that are lesion; () for the cohort's own.
    tree: Release, where the source holds several.
    source: The provider's files; '' for the manual_dir of TFDS.
    keep_going: Leaves bad scans out and lists them in the manifest.
    workers: Processes.
    beam: Prepares and writes with Apache Beam.
  """
  contrast = contrast or cohort.contrasts[0]
  tables.check(cohort, contrast, tree)
  case = presets.Request(contrast, form, tuple(shape), spacing, brain, bias, atlas)
  steps = presets.steps(preset, case)
  listed = tables.listed(folder_of(cohort.name))
  told = {
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
  return named(
    f'{contrast}-{form}-{preset}',
    description=f'{contrast}, {form}, preprocessing {preset}.',
    source=os.fspath(source),
    find=functools.partial(
      _find, cohort=cohort, contrast=contrast, tree=tree, values=tuple(lesion_values)
    ),
    steps=steps,
    label_map=cohort.trees[0].layout.label_map,
    told=told,
    fractions=cohort.fractions,
    listed=listed,
    healthy=cohort.healthy,
    domain=cohort.name,
    keep_going=keep_going,
    workers=workers,
    beam=beam,
  )


def parse(cohort: Cohort, name: str) -> ScanConfig:
  """The config that 'CONTRAST-FORM-PRESET' names."""
  words = name.split('-') if name else []
  if len(words) > 3:
    raise ValueError(f"config is '{name}'; allowed is CONTRAST-FORM-PRESET")
  options = zip(('contrast', 'form', 'preset'), words, strict=False)
  return config(cohort, **dict(options))


class CohortBuilder(ScanBuilder, skip_registration=True):
  """What the builders of cohorts share; a subclass names its `COHORT`.

  TFDS may name a config by contrast, form and preset: 'ixi/t2-volumes-baur2021'; what
  is left out is the default.
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
    """The folder given, that of the downloads, or the manual_dir."""
    settings = self.builder_config
    if settings.source:
      return settings.source
    fetched = download.folder(self._data_dir_root, self.COHORT.name)
    try:
      return str(fetched if fetched.is_dir() else dl_manager.manual_dir)
    except AssertionError:  # TFDS: there is no such folder
      raise ValueError(
        f'{self.name}/{settings.name} is not prepared in {self._data_dir_root}; build '
        f'it by `python -m uad_jax.prepare build {self.name} --source=DIR` '
        f'(`list {self.name}` tells how to get it)'
      ) from None


def open_builder(
  builder: type[CohortBuilder], data_dir: str | os.PathLike | None = None, **options
) -> CohortBuilder:
  """A cohort's builder with the options of `config`."""
  allowed = list(inspect.signature(config).parameters)[1:]
  for option in options:
    if option not in allowed:
      raise ValueError(
        f"dataset '{builder.COHORT.name}' takes no '{option}'; it takes "
        f'{", ".join(allowed)}'
      )
  made = config(builder.COHORT, **options)
  return builder(config=made, data_dir=data_dir, file_format='array_record')


def folder_of(name: str) -> pathlib.Path:
  """The folder of a data set's code, where its split list lies."""
  return pathlib.Path(__file__).resolve().parents[2] / 'datasets' / name


def _find(source: str, cohort: Cohort, contrast: str, tree: str, values):
  entries, absent = tables.find(source, cohort, contrast, tree)
  if values:
    entries = [entry._replace(lesion_values=values) for entry in entries]
  return entries, absent
