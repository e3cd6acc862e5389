"""A folder of NIfTI files, BIDS or flat, as slices or volumes on one grid."""

import collections
import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from tqdm import tqdm

from uad_jax.data import layout as layouts
from uad_jax.data import manifest, preprocess, record
from uad_jax.data.nifti import BadScan
from uad_jax.data.steps import Steps, check_steps
from uad_jax.data.workers import mapped

FRACTIONS = {'train': 0.7, 'val': 0.1, 'test': 0.2}
LAYOUTS = {f.__name__: f for f in (layouts.bids, layouts.flat, layouts.lesion_cohort)}


@dataclasses.dataclass(kw_only=True)
class NiftiFolderConfig(tfds.core.BuilderConfig):
  """What of a folder becomes which records.

  Attributes:
    source: The folder.
    layout: Which of its files are what.
    steps: The preprocessing; its 'pad_or_crop' gives the shape of a record: two sizes
      for slices, three for volumes.
    fractions: Split to part of the subjects, for folders whose table names no splits.
    domain: Name of the scanner where the table names none.
    keep_going: Leaves bad scans out and lists them at the end.
    workers: Processes that read scans.
  """

  source: str
  layout: layouts.Layout
  steps: Steps
  fractions: Mapping[str, float] = dataclasses.field(default_factory=FRACTIONS.copy)
  domain: str = ''
  keep_going: bool = False
  workers: int = 2

  def told(self) -> dict[str, Any]:
    """All that the records depend on, ready for JSON."""
    return {
      'source': os.path.abspath(self.source),
      'layout': self.layout._asdict(),
      'steps': [[name, dict(parameters)] for name, parameters in self.steps],
      'fractions': dict(self.fractions),
      'domain': self.domain,
      'keep_going': self.keep_going,
    }

  def shape(self) -> tuple[int, ...]:
    """Spatial shape of a record."""
    shapes = [p['shape'] for name, p in self.steps if name == 'pad_or_crop']
    if not shapes or len(shapes[-1]) not in (2, 3):
      raise ValueError(
        "the steps give the records no common shape; allowed is a step 'pad_or_crop' "
        'with two sizes for slices or three for volumes'
      )
    return tuple(shapes[-1])


def config(source: str, layout: layouts.Layout, steps: Steps, **options):
  """A config whose name ends in a hash of all that its records depend on."""
  check_steps(steps)
  made = NiftiFolderConfig(
    name='unnamed', source=source, layout=layout, steps=steps, **options
  )
  told = json.dumps(made.told(), sort_keys=True, default=list)
  size = 'x'.join(str(n) for n in made.shape())
  folder = os.path.basename(os.path.abspath(source))
  made.name = f'{folder}-{size}-{hashlib.sha256(told.encode()).hexdigest()[:8]}'
  return made


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
    **options: Fields of `NiftiFolderConfig`: fractions, domain, keep_going, workers.
  """
  if layout not in LAYOUTS:
    raise ValueError(f"layout is '{layout}'; allowed are {', '.join(LAYOUTS)}")
  fields = ('fractions', 'domain', 'keep_going', 'workers')
  for option in options:
    if option not in fields:
      raise ValueError(
        f"dataset 'nifti_folder' takes no '{option}'; it takes source, layout, "
        f'patterns, job, {", ".join(fields)}'
      )
  made = config(
    os.fspath(source),
    LAYOUTS[layout](**dict(patterns or {})),
    preprocess.job(**dict(job or {})),
    **options,
  )
  return Builder(config=made, data_dir=data_dir, file_format='array_record')


class Builder(tfds.core.GeneratorBasedBuilder):
  """Records in the order of subject, session and slice; `manifest.json` beside them."""

  VERSION = tfds.core.Version('1.0.0')

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      features=record.features(self.builder_config.shape()),
      disable_shuffling=True,
    )

  def scan_steps(self) -> Steps:
    """The preprocessing that a scan to be predicted has to go through."""
    return self.builder_config.steps

  def digest(self) -> str:
    """Fingerprint of all volumes of the prepared dataset."""
    return manifest.read(self.data_dir)['digest']

  def _download_and_prepare(self, dl_manager, download_config):
    # TFDS writes into a folder that it renames at the end and removes after an error,
    # so that the manifest is there if and only if the dataset is.
    self._volumes, self._skipped = [], []
    super()._download_and_prepare(dl_manager, download_config)
    told = json.loads(json.dumps(self.builder_config.told(), default=list))
    manifest.write(manifest.make(told, self._volumes, self._skipped), self.data_dir)
    for sentence in self._skipped:
      logging.warning('left out: %s', sentence)

  def _split_generators(self, dl_manager):
    del dl_manager
    settings = self.builder_config
    entries = layouts.find(settings.source, settings.layout)
    entries = layouts.assign(entries, settings.fractions)
    self._refuse([entry.problem for entry in entries if entry.problem])
    by_split = collections.defaultdict(list)
    for entry in entries:
      if not entry.problem:
        by_split[entry.split].append(entry)
    if not by_split:
      raise BadScan(f'{settings.source} has no usable scan; allowed is one or more')
    return {split: self._generate_examples(e) for split, e in by_split.items()}

  def _generate_examples(self, entries: Sequence[layouts.Entry]):
    settings = self.builder_config
    work = functools.partial(
      _prepare, steps=settings.steps, label_map=settings.layout.label_map
    )
    volumes = len(settings.shape()) == 3
    results = tqdm(
      mapped(work, entries, settings.workers),
      desc=entries[0].split,
      total=len(entries),
      unit='scan',
      disable=None,
    )
    key = 0
    for entry, prepared in zip(entries, results, strict=True):
      if isinstance(prepared, BadScan):
        self._refuse([str(prepared)])
        continue
      sha256 = manifest.fingerprint(prepared)
      told = {'subject': entry.subject, 'session': entry.session, 'split': entry.split}
      self._volumes.append(told | {'sha256': sha256})
      whole = _record(entry, prepared, settings.domain or 'source')
      for index in (-1,) if volumes else prepared.slices:
        yield key, whole if volumes else _slice(whole, index)
        key += 1

  def _refuse(self, sentences: Sequence[str]) -> None:
    if sentences and not self.builder_config.keep_going:
      raise BadScan(sentences[0])
    self._skipped.extend(sentences)


def _prepare(entry: layouts.Entry, steps, label_map) -> preprocess.Prepared | BadScan:
  try:
    return preprocess.prepare_scan(
      entry.image, steps, entry.mask, entry.labels, entry.lesion, entry.twin, label_map
    )
  except BadScan as problem:
    return problem


def _record(entry: layouts.Entry, prepared: preprocess.Prepared, domain: str) -> dict:
  details = {
    'chain': prepared.chain,
    'shape': prepared.image.shape[:3],
    'native_shape': prepared.native_shape,
    'native_affine': prepared.native_affine.tolist(),
    'to_scan': prepared.to_scan.tolist(),
    'twin': prepared.twin is not None,
    'image': os.path.basename(entry.image),
  }
  no_twin = prepared.twin is None
  return {
    'image': prepared.image,
    'mask': prepared.mask,
    'lesion': prepared.lesion,
    'twin': np.zeros_like(prepared.image) if no_twin else prepared.twin,
    'labels': prepared.labels,
    'subject': entry.subject,
    'session': entry.session,
    'slice': -1,
    'position': 0.5,
    'affine': prepared.affine,
    'domain': entry.domain or domain,
    'pathology': entry.pathology,
    'age': entry.age,
    'details': json.dumps(details),
  }


def _slice(whole: dict, index: int) -> dict:
  """Slice `index` of a volume's record; heights run from 0 to 1 over the volume."""
  arrays = ('image', 'mask', 'lesion', 'twin', 'labels')
  height = record.slice_height(index, whole['image'].shape[2])
  cut = {name: np.ascontiguousarray(whole[name][:, :, index]) for name in arrays}
  return whole | cut | {'slice': index, 'position': height}
