"""Functions that list all trainings of the benchmark and find the finished ones.

A training is a row: a config with a seed. Its run folder is named by the hash of both,
so that no row is trained twice and a row whose config has changed is trained again. A
stored run or record counts only if it has the config that its row has today.
"""

import json
import pathlib
import shutil
import sys
from typing import NamedTuple

from ml_collections import ConfigDict

from uad_jax import registry, run_folder
from uad_jax.comparison.kept_slices import Exhibit
from uad_jax.comparison.records import Record
from uad_jax.ops.choices import check_choice

ROWS = (
  'threshold', 'smoothing', 'atlas', 'moment_registration', 'guided_moments',
  'voxelmorph', 'voxelmorph_diff', 'hypermorph', 'learned_template', 'patch_detector',
  'ae', 'vae', 'soft_introvae', 'cevae', 'gmvae', 'skip_ae', 'scale_space_ae',
  'denoising_ae', 'cae', 'aae', 'caae', 'fanogan', 'anovaegan', 'lsa', 'glow',
  'deep_svdd', 'gpnd', 'ocgan', 'dagmm', 'padim', 'patchcore', 'fae',
  'reverse_distillation', 'feature_transformer', 'vqvae_transformer',
  'latent_diffusion', 'ddpm', 'cold_diffusion', 'disyre', 'rectified_flow', 'dae',
  'dae_unc', 'dae_unc_plain',
)  # fmt: skip
"""Names of the rows, files of configs/, in the order of the tables; the methods that
learn no image come first."""

PLAIN = 'dae_unc_plain'
"""Row that only the data sets have on which `dae_unc` trains on random contrasts."""

UNSIGNED = '_both'
"""End of the name of a suite whose methods are not told that lesions are bright."""

PERCENTILE = '_percentile'
"""End of the name of a suite whose scans are normalised by the percentiles 0.5 and 99.5
of the brain, which lesions move, and not by its quartiles; nor are contrasts random."""

SUITES = (
  'demo', 'slices', 'ixi', f'ixi{PERCENTILE}', 'ixi128', f'ixi128{PERCENTILE}', 'ixi3d',
  'stroke_flair', 'stroke_flair96', 'stroke_flair64', f'stroke_flair64{UNSIGNED}',
)  # fmt: skip
"""Data sets of the tables, as named in the argument of a config. With the end
`UNSIGNED`, `config.data.polarity` is 'both'; with `PERCENTILE`, the intensity of
`config.data.job` is 'percentile'."""

TRAINING = ('checkpoints', 'model.json', 'parameters.txt', 'training.json')
"""Files of a run folder that a training writes, and no evaluation."""

INDEX = 'row.json'
"""File of a run folder that names its data set (suite), config (row) and seed."""


class Row(NamedTuple):
  """One training of the benchmark: a config with a seed, and its run folder.

  Attributes:
    suite: Data set, one of `SUITES`.
    name: Name of the config, one of `ROWS`.
    seed: Seed of the training.
    config: Config with that seed.
    folder: Run folder, which need not exist yet.
  """

  suite: str
  name: str
  seed: int
  config: ConfigDict
  folder: pathlib.Path


def read_config(name: str, suite: str) -> ConfigDict:
  """Reads the config of a row of the tables.

  Args:
    name: NAME of the config file configs/NAME.py.
    suite: One of `SUITES`.
  """
  arg = suite.removesuffix(UNSIGNED).removesuffix(PERCENTILE)
  config = registry.read_config(registry.config_path(name), arg)
  if suite.endswith(UNSIGNED):
    config.data.polarity = 'both'
  if suite.endswith(PERCENTILE):
    config.data.job.intensity = 'percentile'
    if 'randomise' in config.adapt:
      del config.adapt.randomise
  return config


def rows_of(suite: str) -> list[str]:
  """Lists the rows of the tables of a suite.

  Args:
    suite: One of `SUITES`.
  """
  random = 'randomise' in read_config('dae_unc', suite).adapt
  return [name for name in ROWS if name != PLAIN or random]


def take_training(row: Row, runs: str) -> None:
  """Copies the training of a row from the suite with polarity, where it is the same.

  The training of a method depends on the polarity only if the method has that option.
  Nothing is done for other suites, or if the row or the training to copy is there
  already or not finished.

  Args:
    row: Row to be trained.
    runs: Folder that holds the run folders.
  """
  suite = row.suite.removesuffix(UNSIGNED)
  method = registry.named('methods', row.config.method.name)
  if suite == row.suite or row.folder.exists() or registry.takes(method, 'polarity'):
    return
  (original,) = plan(suite, [row.name], [row.seed], runs)
  if outdated(original, original.folder):
    return
  partial = row.folder.with_name(f'{row.folder.name}.part')
  shutil.rmtree(partial, ignore_errors=True)
  for name in TRAINING:
    source, copied = original.folder / name, partial / name
    if source.is_dir():
      shutil.copytree(source, copied)
    elif source.exists():
      partial.mkdir(parents=True, exist_ok=True)
      shutil.copy(source, copied)
  (partial / 'config.json').write_text(json.dumps(registry.plain(row.config), indent=2))
  partial.rename(row.folder)


def plan(suite: str, names: list[str], seeds: list[int], runs: str) -> list[Row]:
  """Lists the trainings of the benchmark on one data set, by seed and then by config.

  Args:
    suite: Data set, one of `SUITES`.
    names: Names of configs, from `ROWS`.
    seeds: Seeds of the trainings.
    runs: Folder that holds the run folders.

  Raises:
    ValueError: A name is not one of `ROWS`.
  """
  for name in names:
    check_choice('row', name, ROWS)
  rows = []
  for seed in seeds:
    for name in names:
      config = read_config(name, suite)
      config.seed = seed
      folder = pathlib.Path(runs) / suite / f'{name}-{seed}-{registry.digest(config)}'
      rows.append(Row(suite, name, seed, config, folder))
  return rows


def outdated(row: Row, folder: pathlib.Path) -> str | None:
  """Checks that a stored run is complete and was made with today's config.

  Args:
    row: Training with today's config.
    folder: Run folder of the stored run.

  Returns:
    The reason why the run cannot be used; None if it can.
  """
  settings = registry.plain(row.config)
  variants = [folder / 'variants' / name for name in row.config.variants]
  for place in (folder, *variants):
    reason = run_folder.outdated(place, settings)
    if reason:
      return reason
  if folder.name != row.folder.name:
    return f'its folder would be {row.folder.name}'
  return None


def stored(runs: str, suite: str = '*') -> list[Row]:
  """Finds the finished trainings of the benchmark that were made with today's configs.

  They are sorted by data set, config and seed. Runs that are left out are named on
  stderr with the reason.

  Args:
    runs: Folder that holds the run folders.
    suite: One of `SUITES`; all by default.
  """
  rows = []
  for path in sorted(pathlib.Path(runs).glob(f'{suite}/*/{INDEX}')):
    index = json.loads(path.read_text())
    if index['suite'] not in SUITES or index['name'] not in ROWS:
      reason = f"there is no row '{index['name']}' of '{index['suite']}'"
    else:
      (row,) = plan(index['suite'], [index['name']], [index['seed']], runs)
      reason = outdated(row, path.parent)
    if reason:
      print(f'left out: {path.parent}: {reason}', file=sys.stderr)
    else:
      rows.append(row)
  return sorted(
    rows, key=lambda row: (SUITES.index(row.suite), ROWS.index(row.name), row.seed)
  )


def is_current(record: Record | Exhibit, suite: str) -> bool:
  """Returns whether the stored results of a run were made with today's config.

  Args:
    record: Stored numbers (`Record`) or example slices (`Exhibit`) of a run.
    suite: Data set of the run, one of `SUITES`.
  """
  if record.name not in ROWS:
    return False
  config = read_config(record.name, suite)
  config.seed = record.seeds[0]
  return record.config == registry.fingerprint(config)
