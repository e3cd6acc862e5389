"""TFDS builder of simulated brain MRI of healthy subjects and patients.

The scans come from four simulated scanners; the ground truth is exact.
"""

import collections
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

from uad_jax.data import locks, manifest, record
from uad_jax.data.preprocessing import preprocess
from uad_jax.data.simulation.pathology import KINDS
from uad_jax.data.simulation.simulate import Grid, Subject, simulate
from uad_jax.data.workers import mapped
from uad_jax.ops.choices import choose

YEARS = (20.0, 90.0)
"""Ages in years stored for the values 0 and 1 of the simulator's age-like variable."""


class Plan(NamedTuple):
  """Plan of one simulated subject: its name, split, scanner and pathology.

  Attributes:
    name: Name of the subject.
    split: Name of the split.
    domain: Name of the scanner: 'a' (source domain), 'b', 'c' or 'd' (target domains).
    pathology: One of `pathology.KINDS`, or 'none'.
  """

  name: str
  split: str
  domain: str
  pathology: str


@dataclasses.dataclass(kw_only=True)
class SimBrainConfig(tfds.core.BuilderConfig):
  """TFDS config of the simulated data set: voxel grid, seed and numbers of subjects.

  Attributes:
    grid: Grid of the scans, with the indices of their slices.
    volumes: Whether records are volumes; if not, slices.
    train: Number of healthy training subjects.
    val: Number of healthy validation subjects.
    val_sick: Number of validation subjects with each pathology, for model selection.
    test: Number of healthy test subjects.
    sick: Number of test subjects with each pathology.
    few: Number of few-shot subjects of each target domain.
    shifted: Number of healthy test subjects of each target domain.
    seed: Seed of the simulation.
    workers: Number of processes that simulate.
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
    """Lists name, split, scanner and pathology of all subjects to simulate.

    The splits follow one another. The test split of each target domain also gets one
    patient with each pathology.
    """

    def group(count, split, domain, pathology='none'):
      stem = split if pathology == 'none' else f'{split}-{pathology}'
      return [Plan(f'{stem}-{i:03d}', split, domain, pathology) for i in range(count)]

    plan = group(self.train, 'train', 'a') + group(self.val, 'val', 'a')
    for kind in KINDS:
      plan += group(self.val_sick, 'val_lesion', 'a', kind)
    plan += group(self.test, 'test', 'a')
    for kind in KINDS:
      plan += group(self.sick, 'test', 'a', kind)
    for domain in 'bcd':
      plan += group(self.few, f'few_shot_{domain}', domain)
      plan += group(self.shifted, f'test_{domain}', domain)
      for kind in KINDS:
        plan += group(1, f'test_{domain}', domain, kind)
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
"""Configs by name."""


def open_builder(
  data_dir: str | os.PathLike | None = None, config: str = 'demo'
) -> 'Builder':
  """Creates the TFDS builder of the simulated data set for a named config.

  Args:
    data_dir: Folder of the prepared data sets; None for the default of TFDS.
    config: Key of `CONFIGS`: 'demo', 'slices' or 'volumes'.

  Raises:
    ValueError: The config is unknown.
  """
  settings = choose('config', config, CONFIGS, "dataset 'sim_brain'")
  return Builder(config=settings, data_dir=data_dir, file_format='array_record')


class Builder(locks.BuiltAlone, tfds.core.GeneratorBasedBuilder):
  """TFDS builder of the simulated brain MRI data set.

  The records are stored in the order of subjects and slices.

  The field 'velocity' of a record holds the subject's healthy stationary velocity field
  in voxels of the record's grid, with components (x, y, z) also for slices. Its
  exponential, followed by the affine in 'details', maps points of the subject to points
  of the template (see `simulate`). The file `manifest.json` beside the records lists
  every subject with its hash.
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
    """Returns preprocessing steps that fit a real T1 scan to the simulated scans.

    They resample it to the same voxel grid and normalise its intensities.
    """
    settings = self.builder_config
    shape = settings.grid.shape[: 3 if settings.volumes else 2]
    return preprocess.job(shape, settings.grid.spacing, intensity='percentile')

  def slice_step(self) -> int:
    """Returns the step between the indices of two consecutive stored slices."""
    first, second, *_ = self.builder_config.grid.slices
    return second - first

  def digest(self) -> str:
    """Reads the SHA-256 hash that identifies the whole data set from manifest.json."""
    return manifest.read(self.data_dir)['digest']

  def planned_splits(self) -> dict[str, int]:
    """Counts the subjects of each split, whether they are simulated yet or not."""
    return dict(collections.Counter(p.split for p in self.builder_config.plan()))

  def _download_and_prepare(self, dl_manager, download_config):
    self._volumes = []
    super()._download_and_prepare(dl_manager, download_config)
    identity = {'dataset': 'sim_brain', 'seed': self.builder_config.seed}
    identity['subjects'] = len(self._volumes)
    manifest.write(manifest.make(identity, self._volumes), self.data_dir)

  def _split_generators(self, dl_manager):
    del dl_manager
    settings = self.builder_config
    plan = settings.plan()
    work = functools.partial(_simulate, grid=settings.grid, seed=settings.seed)
    # One pool for all splits, which are written one after another in this order.
    options = {'desc': 'simulating', 'total': len(plan), 'unit': 'subject'}
    subjects = tqdm(mapped(work, plan, settings.workers), disable=None, **options)
    simulated = zip(plan, subjects, strict=True)
    return {
      split: self._generate_examples(itertools.islice(simulated, len(list(group))))
      for split, group in itertools.groupby(plan, lambda planned: planned.split)
    }

  def _generate_examples(self, simulated: Iterator[tuple[Plan, Subject]]):
    key = 0
    for plan, subject in simulated:
      sha256 = manifest.digest_of(
        {name: getattr(subject, name) for name in ('image', 'twin', 'lesion', 'labels')}
      )
      names = {'subject': plan.name, 'session': '', 'split': plan.split}
      self._volumes.append(names | {'sha256': sha256})
      for example in records(plan, subject, self.builder_config):
        yield key, example
        key += 1


def _simulate(plan: Plan, grid: Grid, seed: int) -> Subject:
  return simulate(plan.name, grid, plan.domain, plan.pathology, seed)


def records(plan: Plan, subject: Subject, settings: SimBrainConfig) -> Iterator[dict]:
  """Yields the TFDS examples of one simulated subject: one volume, or its slices.

  Args:
    plan: Name, split, domain and pathology of the subject.
    subject: Arrays of the subject, [X, Y, slices, C].
    settings: Config of the data set.
  """
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
    slice_arrays = {n: np.ascontiguousarray(a[:, :, place]) for n, a in arrays.items()}
    height = record.slice_height(index, grid.shape[2])
    yield common | slice_arrays | {'slice': index, 'position': height}
