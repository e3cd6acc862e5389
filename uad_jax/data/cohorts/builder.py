"""TFDS builder that finds, preprocesses and writes a data set of real MRI scans.

First every scan is preprocessed and stored in a file of its own (see `parts`), by
several processes or by Apache Beam. The records of the data set are written when all
scans are preprocessed; scans that cannot be used stop the build or are left out.
"""

import dataclasses
import functools
import hashlib
import json
import pathlib
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds

from uad_jax.data import manifest, record
from uad_jax.data.cohorts import examples, parts, splits
from uad_jax.data.cohorts.entry import Entry
from uad_jax.data.preprocessing import preprocess
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.data.preprocessing.steps import Steps, check_steps
from uad_jax.data.workers import mapped
from uad_jax.progress import Progress

Find = Callable[[str], tuple[list[Entry], list[str]]]
"""Function of a folder; returns its scans, and a sentence about each absent scan."""


@dataclasses.dataclass(kw_only=True, repr=False)
class ScanConfig(tfds.core.BuilderConfig):
  """TFDS config of a data set of MRI scans: source, preprocessing and splits.

  Attributes:
    steps: Preprocessing steps, pairs (name, parameters); 'pad_or_crop' sets the shape
      of a record: two sizes for slices, three for volumes.
    find: Function of the source folder; returns its scans, and one sentence about each
      absent scan.
    identity: All that the records depend on, as values for JSON; its hash is part of
      the name of the config, and the manifest stores it.
    source: Folder of the scans; '' for the manual_dir of TFDS.
    label_map: Tissue class to numbers of the label files.
    fractions: Split to fraction of the subjects, for subjects whose split neither a
      table nor a list names.
    listed: Subject to split, from the split list of the data set.
    healthy: Whether the cohort is one of healthy subjects; those with a pathology then
      go to the split 'patients'.
    domain: Name of the scanner or site, for scans without one.
    keep_going: Whether bad scans are left out and listed; if not, the first one stops
      the build.
    workers: Number of processes that prepare scans.
    beam: Whether to prepare and write with Apache Beam.
  """

  steps: Steps
  find: Find
  identity: Mapping[str, Any]
  source: str = ''
  label_map: Mapping[str, Sequence[int]] = dataclasses.field(default_factory=dict)
  fractions: Mapping[str, float] = dataclasses.field(
    default_factory=splits.HEALTHY.copy
  )
  listed: Mapping[str, str] = dataclasses.field(default_factory=dict)
  healthy: bool = False
  domain: str = ''
  keep_going: bool = False
  workers: int = 2
  beam: bool = False

  def __repr__(self) -> str:
    return self.name  # TFDS logs it

  def shape(self) -> tuple[int, ...]:
    """Returns the spatial shape of one record (slice or volume), in voxels.

    Raises:
      ValueError: The steps have no 'pad_or_crop' with two or three sizes.
    """
    shape = dict(self.steps).get('pad_or_crop', {}).get('shape', ())
    if len(shape) not in (2, 3):
      raise ValueError(
        "the steps give the records no common shape; allowed is a step 'pad_or_crop' "
        'with two sizes for slices or three for volumes'
      )
    return tuple(shape)


def named_config(stem: str, **fields) -> ScanConfig:
  """Creates a TFDS config whose name contains the shape of a record and a hash.

  The name is STEM-SIZE-HASH, such as 'ixi-128x128-0a1b2c3d'. STEM is `stem`, SIZE is
  the shape of a record. HASH is computed from the field `identity`, which holds all
  that the records depend on.

  Args:
    stem: First part of the name.
    **fields: Fields of `ScanConfig` except the name.
  """
  check_steps(fields['steps'])
  config = ScanConfig(name='unnamed', **{'label_map': preprocess.DLMUSE} | fields)
  identity = json.dumps(config.identity, sort_keys=True, default=list)
  size = 'x'.join(str(n) for n in config.shape())
  config.name = f'{stem}-{size}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}'
  return config


class ScanBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """TFDS builder of a data set of real MRI scans.

  The records are sorted by subject, session and slice. The file `manifest.json` beside
  the records lists every volume with its hashes.
  """

  VERSION = tfds.core.Version(f'{preprocess.VERSION}.0.0')
  ABOUT: Mapping[str, str] = {}
  """The description, homepage, citation and license of the data set, for TFDS."""

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      features=record.features(self.builder_config.shape()),
      disable_shuffling=True,
      **self.ABOUT,
    )

  def scan_steps(self) -> Steps:
    """Returns the preprocessing steps to apply to a new scan before inference."""
    return self.builder_config.steps

  def slice_step(self) -> int:
    """Returns the number of slices from one record of a scan to its next record."""
    return 1

  def digest(self) -> str:
    """Reads the hash that identifies the content of the data set from manifest.json.

    It is a single SHA-256 over all volumes, see `manifest.make`.
    """
    return manifest.read(self.data_dir)['digest']

  def parts_folder(self) -> pathlib.Path:
    """Returns the temporary folder that stores preprocessed scans during the build."""
    root = pathlib.Path(self._data_dir_root)
    return root / '.parts' / f'{self.name}-{self.builder_config.name}'

  def _download_and_prepare(self, dl_manager, download_config):
    # TFDS writes to a temporary folder, which it renames at the end or removes after an
    # error; so the manifest exists if and only if the data set does.
    self._volumes, self._skipped, self._absent = [], [], []
    tfds.disable_progress_bar()  # `Progress` counts scans, also in logs
    target = pathlib.Path(self.data_dir)
    for incomplete in target.parent.glob('incomplete.*'):
      if incomplete != target:
        shutil.rmtree(incomplete, ignore_errors=True)  # left by a killed build
    if self.builder_config.beam:
      from uad_jax.data.cohorts import beam

      options = {'beam_options': beam.options()}
      download_config = dataclasses.replace(download_config, **options)
    super()._download_and_prepare(dl_manager, download_config)
    identity = json.loads(json.dumps(self.builder_config.identity, default=list))
    content = manifest.make(identity, self._volumes, self._skipped, self._absent)
    manifest.write(content, self.data_dir)
    shutil.rmtree(self.parts_folder(), ignore_errors=True)
    for sentence in [*self._skipped, *self._absent]:
      print(f'left out: {sentence}', file=sys.stderr)

  def source(self, dl_manager) -> str:
    """Returns the folder of the original scans.

    This is the `source` of the config if it is set; else the manual_dir of TFDS.
    """
    return self.builder_config.source or str(dl_manager.manual_dir)

  def _split_generators(self, dl_manager):
    settings = self.builder_config
    source = self.source(dl_manager)
    entries, self._absent = settings.find(source)
    entries = splits.assign(
      entries, settings.fractions, settings.listed, settings.healthy
    )
    self._refuse([entry.problem for entry in entries if entry.problem])
    prepared = self._prepared([entry for entry in entries if not entry.problem])
    if not prepared:
      raise BadScan(f'{source} has no usable scan; allowed is one or more')
    for entry, path in prepared:
      names = {'subject': entry.subject, 'session': entry.session, 'split': entry.split}
      self._volumes.append(names | parts.fingerprints(path))
    items = [(number, entry, path) for number, (entry, path) in enumerate(prepared)]
    return {
      split: self._generate_examples([i for i in items if i[1].split == split])
      for split in dict.fromkeys(entry.split for entry, _ in prepared)
    }

  def _prepared(self, entries: Sequence[Entry]) -> list[tuple[Entry, str]]:
    """Prepares scans; returns the usable ones with the paths of their parts."""
    settings = self.builder_config
    work = functools.partial(
      parts.make,
      steps=settings.steps,
      label_map=settings.label_map,
      folder=str(self.parts_folder()),
    )
    if settings.beam:
      from uad_jax.data.cohorts import beam

      beam.run(work, entries)
      results = map(work, entries)  # all parts exist: this only looks them up
    else:
      results = mapped(work, entries, settings.workers)
    prepared, progress = [], Progress(len(entries), f'{self.name}: scans')
    try:
      for done, (entry, result) in enumerate(zip(entries, results, strict=True), 1):
        if isinstance(result, BadScan):
          self._refuse([str(result)])
        else:
          prepared.append((entry, result))
        progress.update(done)
    finally:
      progress.close()
    return prepared

  def _generate_examples(self, items: Sequence[tuple[int, Entry, str]]):
    work = functools.partial(
      examples.records_of_part,
      domain=self.builder_config.domain or 'source',
      volumes=len(self.builder_config.shape()) == 3,
    )
    if self.builder_config.beam:
      from uad_jax.data.cohorts import beam

      return beam.records(work, items)
    return (pair for item in items for pair in work(item))

  def _refuse(self, sentences: Sequence[str]) -> None:
    """Raises the first problem, or notes all of them if bad scans may be left out."""
    if sentences and not self.builder_config.keep_going:
      raise BadScan(sentences[0])
    self._skipped.extend(sentences)
