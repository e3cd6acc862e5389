"""The TFDS builder of scans: find, prepare each, write; every data set of scans is it.

First every scan is prepared into a part of its own (`parts`), by processes or by Beam;
only when all are there, or the bad ones may be left out, is the data set written.
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
from uad_jax.data.cohorts.layout import Entry
from uad_jax.data.preprocessing import preprocess
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.data.preprocessing.steps import Steps, check_steps
from uad_jax.data.workers import mapped
from uad_jax.progress import Progress

Find = Callable[[str], tuple[list[Entry], list[str]]]


@dataclasses.dataclass(kw_only=True, repr=False)
class ScanConfig(tfds.core.BuilderConfig):
  """Which scans become which records.

  Attributes:
    source: The folder of scans; '' for the manual_dir of TFDS.
    find: (folder) -> its scans, and sentences about the absent.
    steps: The preprocessing; its 'pad_or_crop' gives the shape of a record: two sizes
      for slices, three for volumes.
    told: All that the records depend on, ready for JSON; its hash names the config.
    label_map: Class to numbers of the label files.
    fractions: Split to part of the subjects, where no table or list names splits.
    listed: Subject to split.
    healthy: Subjects with a pathology go to the split 'patients'.
    domain: Name of the scanner where nothing else names one.
    keep_going: Leaves bad scans out and lists them at the end.
    workers: Processes that read scans.
    beam: Prepares and writes with Apache Beam.
  """

  steps: Steps
  find: Find
  told: Mapping[str, Any]
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
    """Spatial shape of a record."""
    shape = dict(self.steps).get('pad_or_crop', {}).get('shape', ())
    if len(shape) not in (2, 3):
      raise ValueError(
        "the steps give the records no common shape; allowed is a step 'pad_or_crop' "
        'with two sizes for slices or three for volumes'
      )
    return tuple(shape)


def named(stem: str, **fields) -> ScanConfig:
  """A config whose name is STEM-SIZE and a hash of all that its records depend on."""
  check_steps(fields['steps'])
  made = ScanConfig(name='unnamed', **{'label_map': preprocess.DLMUSE} | fields)
  told = json.dumps(made.told, sort_keys=True, default=list)
  size = 'x'.join(str(n) for n in made.shape())
  made.name = f'{stem}-{size}-{hashlib.sha256(told.encode()).hexdigest()[:8]}'
  return made


class ScanBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """Records in the order of subject, session and slice; `manifest.json` beside them."""

  VERSION = tfds.core.Version(f'{preprocess.VERSION}.0.0')
  ABOUT: Mapping[str, str] = {}
  """description, homepage, citation and license, as TFDS tells them."""

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      features=record.features(self.builder_config.shape()),
      disable_shuffling=True,
      **self.ABOUT,
    )

  def scan_steps(self) -> Steps:
    """The preprocessing that a scan to be predicted has to go through."""
    return self.builder_config.steps

  def digest(self) -> str:
    """Fingerprint of all volumes of the prepared dataset."""
    return manifest.read(self.data_dir)['digest']

  def parts_folder(self) -> pathlib.Path:
    """Where prepared scans wait until all are there."""
    root = pathlib.Path(self._data_dir_root)
    return root / '.parts' / f'{self.name}-{self.builder_config.name}'

  def _download_and_prepare(self, dl_manager, download_config):
    # TFDS writes into a folder that it renames at the end and removes after an error,
    # so that the manifest is there if and only if the dataset is.
    self._volumes, self._skipped, self._absent = [], [], []
    tfds.disable_progress_bar()  # ours tells of scans, and does so in logs too
    own = pathlib.Path(self.data_dir)
    for left in own.parent.glob('incomplete.*'):
      if left != own:
        shutil.rmtree(left, ignore_errors=True)  # of a build that was killed
    if self.builder_config.beam:
      from uad_jax.data.cohorts import beam

      asked = {'beam_options': beam.options()}
      download_config = dataclasses.replace(download_config, **asked)
    super()._download_and_prepare(dl_manager, download_config)
    told = json.loads(json.dumps(self.builder_config.told, default=list))
    made = manifest.make(told, self._volumes, self._skipped, self._absent)
    manifest.write(made, self.data_dir)
    shutil.rmtree(self.parts_folder(), ignore_errors=True)
    for sentence in [*self._skipped, *self._absent]:
      print(f'left out: {sentence}', file=sys.stderr)

  def source(self, dl_manager) -> str:
    """The folder of the provider's files."""
    return self.builder_config.source or str(dl_manager.manual_dir)

  def _split_generators(self, dl_manager):
    settings = self.builder_config
    source = self.source(dl_manager)
    entries, self._absent = settings.find(source)
    entries = splits.assign(
      entries, settings.fractions, settings.listed, settings.healthy
    )
    self._refuse([entry.problem for entry in entries if entry.problem])
    whole = [entry for entry in entries if not entry.problem]
    made = self._made(whole)
    if not made:
      raise BadScan(f'{source} has no usable scan; allowed is one or more')
    for entry, path in made:
      told = {'subject': entry.subject, 'session': entry.session, 'split': entry.split}
      self._volumes.append(told | parts.fingerprints(path))
    return {
      split: self._generate_examples(
        [(n, *each) for n, each in enumerate(made) if each[0].split == split]
      )
      for split in dict.fromkeys(entry.split for entry, _ in made)
    }

  def _made(self, entries: Sequence[Entry]) -> list[tuple[Entry, str]]:
    """Entries with the paths of their parts."""
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
      results = map(work, entries)  # all are there: this only finds them
    else:
      results = mapped(work, entries, settings.workers)
    made, shown = [], Progress(len(entries), f'{self.name}: scans')
    try:
      for done, (entry, result) in enumerate(zip(entries, results, strict=True), 1):
        if isinstance(result, BadScan):
          self._refuse([str(result)])
        else:
          made.append((entry, result))
        shown.update(done)
    finally:
      shown.close()
    return made

  def _generate_examples(self, made: Sequence[tuple[int, Entry, str]]):
    work = functools.partial(
      examples.of_part,
      domain=self.builder_config.domain or 'source',
      volumes=len(self.builder_config.shape()) == 3,
    )
    if self.builder_config.beam:
      from uad_jax.data.cohorts import beam

      return beam.records(work, made)
    return (each for item in made for each in work(item))

  def _refuse(self, sentences: Sequence[str]) -> None:
    if sentences and not self.builder_config.keep_going:
      raise BadScan(sentences[0])
    self._skipped.extend(sentences)
