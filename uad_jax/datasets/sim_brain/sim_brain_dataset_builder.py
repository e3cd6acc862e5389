"""The simulated cohort: healthy and diseased subjects of four scanners, exact truth."""

import dataclasses
import functools
import itertools
import json
import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from uad_jax.data import manifest, record
from uad_jax.data.preprocessing import preprocess
from uad_jax.data.simulation.pathology import KINDS
from uad_jax.data.simulation.simulate import Grid, Subject, simulate
from uad_jax.data.workers import mapped

YEARS = (20.0, 90.0)
"""What the age-like variable 0 and 1 is stored as."""


class Plan(NamedTuple):
  """One subject to be simulated."""

  name: str
  split: str
  domain: str
  pathology: str


@dataclasses.dataclass(kw_only=True)
class SimBrainConfig(tfds.core.BuilderConfig):
  """A size of the cohort.

  Attributes:
    grid: Where subjects are imaged.
    volumes: Records are volumes, not slices.
    train: Number of healthy training subjects.
    val: Healthy validation subjects.
    val_sick: Validation subjects of each pathology, on which maps and settings are
      chosen.
    test: Healthy test subjects.
    sick: Test subjects of each pathology.
    few: Few-shot subjects of each target domain.
    shifted: Healthy test subjects of each target domain.
    seed: Of the cohort.
    workers: Processes that simulate.
  """

  grid: Grid
  volumes: bool = False
  train: int = 48
  val: int = 10
  val_sick: int = 2
  test: int = 10
  sick: int = 6
  few: int = 3
  shifted: int = 3
  seed: int = 0
  workers: int = 2

  def plan(self) -> list[Plan]:
    """All subjects, split by split."""

    def several(count, split, domain, pathology='none'):
      stem = split if pathology == 'none' else f'{split}-{pathology}'
      return [Plan(f'{stem}-{i:03d}', split, domain, pathology) for i in range(count)]

    plan = several(self.train, 'train', 'a') + several(self.val, 'val', 'a')
    for kind in KINDS:
      plan += several(self.val_sick, 'val_lesion', 'a', kind)
    plan += several(self.test, 'test', 'a')
    for kind in KINDS:
      plan += several(self.sick, 'test', 'a', kind)
    for domain in 'bcd':
      plan += several(self.few, f'few_shot_{domain}', domain)
      plan += several(self.shifted, f'test_{domain}', domain)
      for kind in KINDS:
        plan += several(1, f'test_{domain}', domain, kind)
    return plan


CONFIGS = {
  'demo': SimBrainConfig(
    name='demo',
    description='64 x 64 slices at 3 mm, ten a subject.',
    grid=Grid((64, 64, 52), 3.0, tuple(range(19, 39, 2)), 2),
  ),
  'slices': SimBrainConfig(
    name='slices',
    description='128 x 128 slices at 1.5 mm, fifteen a subject.',
    grid=Grid((128, 128, 104), 1.5, tuple(range(36, 81, 3))),
    train=120,
    val=20,
    val_sick=4,
    test=20,
    sick=12,
    few=5,
    shifted=8,
  ),
  'volumes': SimBrainConfig(
    name='volumes',
    description='96^3 volumes at 2 mm.',
    grid=Grid((96, 96, 96), 2.0, tuple(range(96))),
    volumes=True,
    train=40,
    val=8,
    test=8,
    sick=4,
  ),
}


def open_builder(
  data_dir: str | os.PathLike | None = None, config: str = 'demo'
) -> 'Builder':
  """The builder of one of `CONFIGS`."""
  if config not in CONFIGS:
    raise ValueError(
      f"dataset 'sim_brain' has no config '{config}'; there are {', '.join(CONFIGS)}"
    )
  return Builder(config=CONFIGS[config], data_dir=data_dir, file_format='array_record')


class Builder(tfds.core.GeneratorBasedBuilder):
  """Records in the order of subjects and slices; `manifest.json` beside them.

  'velocity' holds the subject's healthy stationary velocity field, all three components
  (x, y, z), in voxels of the record's grid: exp of it, then the affine in 'details',
  leads from the subject's points to the template's (see `simulate`).
  """

  VERSION = tfds.core.Version('1.1.0')
  BUILDER_CONFIGS = list(CONFIGS.values())

  def _info(self) -> tfds.core.DatasetInfo:
    settings = self.builder_config
    shape = settings.grid.shape[: 3 if settings.volumes else 2]
    return self.dataset_info_from_configs(
      features=record.features(shape, velocity=3), disable_shuffling=True
    )

  def scan_steps(self) -> preprocess.Steps:
    """The preprocessing that makes a real T1 scan look like these records."""
    settings = self.builder_config
    shape = settings.grid.shape[: 3 if settings.volumes else 2]
    return preprocess.job(shape, settings.grid.spacing, intensity='percentile')

  def digest(self) -> str:
    """Fingerprint of all subjects of the prepared dataset."""
    return manifest.read(self.data_dir)['digest']

  def _download_and_prepare(self, dl_manager, download_config):
    self._volumes = []
    super()._download_and_prepare(dl_manager, download_config)
    told = {'dataset': 'sim_brain', 'seed': self.builder_config.seed}
    told['subjects'] = len(self._volumes)
    manifest.write(manifest.make(told, self._volumes), self.data_dir)

  def _split_generators(self, dl_manager):
    del dl_manager
    settings = self.builder_config
    plan = settings.plan()
    work = functools.partial(_simulate, grid=settings.grid, seed=settings.seed)
    # One pool for all splits, which are written one after another in this order.
    subjects = tqdm(
      mapped(work, plan, settings.workers),
      desc='simulating',
      total=len(plan),
      unit='subject',
      disable=None,
    )
    made = zip(plan, subjects, strict=True)
    return {
      split: self._generate_examples(itertools.islice(made, len(list(group))))
      for split, group in itertools.groupby(plan, lambda each: each.split)
    }

  def _generate_examples(self, made: Iterator[tuple[Plan, Subject]]):
    key = 0
    for plan, subject in made:
      sha256 = manifest.digest_of(
        {name: getattr(subject, name) for name in ('image', 'twin', 'lesion', 'labels')}
      )
      told = {'subject': plan.name, 'session': '', 'split': plan.split}
      self._volumes.append(told | {'sha256': sha256})
      for each in records(plan, subject, self.builder_config):
        yield key, each
        key += 1


def _simulate(plan: Plan, grid: Grid, seed: int) -> Subject:
  return simulate(plan.name, grid, plan.domain, plan.pathology, seed)


def records(plan: Plan, subject: Subject, settings: SimBrainConfig) -> Iterator[dict]:
  """The records of a subject."""
  grid = settings.grid
  low, high = YEARS
  common = {
    'subject': plan.name,
    'session': '',
    'affine': grid.affine(),
    'domain': plan.domain,
    'pathology': plan.pathology,
    'age': low + (high - low) * subject.details['age'],
    'details': json.dumps(subject.details),
  }
  arrays = {
    name: getattr(subject, name)
    for name in ('image', 'mask', 'lesion', 'twin', 'labels', 'velocity')
  }
  if settings.volumes:
    yield common | arrays | {'slice': -1, 'position': 0.5}
    return
  for place, index in enumerate(grid.slices):
    cut = {n: np.ascontiguousarray(a[:, :, place]) for n, a in arrays.items()}
    height = record.slice_height(index, grid.shape[2])
    yield common | cut | {'slice': index, 'position': height}
