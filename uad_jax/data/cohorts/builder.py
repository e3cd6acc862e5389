"""TFDS builder that finds, preprocesses and writes a data set of real MRI scans.

First every scan is preprocessed and stored in a file of its own (see `parts`), by
several processes or by Apache Beam. The records of the data set are written when all
scans are preprocessed; scans that cannot be used stop the build or are left out.
"""

import collections
import dataclasses
import functools
import json
import pathlib
import shutil
import sys
from collections.abc import Mapping, Sequence

import tensorflow_datasets as tfds

from uad_jax.data import locks, manifest, record
from uad_jax.data.cohorts import examples, parts, reuse, sources, splits, versions
from uad_jax.data.cohorts.entry import Entry
from uad_jax.data.cohorts.scan_config import ScanConfig as ScanConfig
from uad_jax.data.cohorts.scan_config import named_config as named_config
from uad_jax.data.preprocessing import preprocess
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.data.preprocessing.steps import Steps
from uad_jax.data.workers import mapped
from uad_jax.progress import Progress


class ScanBuilder(
  locks.BuiltAlone, tfds.core.GeneratorBasedBuilder, skip_registration=True
):
  """TFDS builder of a data set of real MRI scans.

  The records are sorted by subject, session and slice. The file `manifest.json` beside
  the records lists every volume with its hashes, the file `sources.json` the files that
  they were made from.
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

  def up_to_date(self, kept: str = '') -> 'ScanBuilder':
    """Returns the builder of the data set for the source folder as it is now.

    The result is this builder, or the builder of another version of the data set that
    fits the source (see `versions`). A change of the source is reported on stderr.

    Args:
      kept: Full names, joined by ' + ', of the prepared data sets that a run began
        with. If one is a version of this data set that still exists, its builder is
        returned even if the source has changed.

    Raises:
      BadScan: The source or its table cannot be used.
    """
    settings, stem = self.builder_config, f'{self.name}/{self.builder_config.name}'
    begun = [name.split('/')[1] for name in kept.split(' + ') if name.startswith(stem)]
    choice = versions.choose(settings, self._versions(), *begun[:1])
    if choice.sentence:
      print(choice.sentence, file=sys.stderr, flush=True)
    if choice.name != settings.name:
      return type(self)(
        config=dataclasses.replace(settings, name=choice.name, first=settings.name),
        data_dir=self._data_dir_root,
        file_format='array_record',
      )
    return self

  def planned_splits(self) -> dict[str, int]:
    """Counts the scans of each split, also if the data set is not prepared yet.

    The counts come from the manifest if it exists, else from the source folder; they
    are {} if there is no manifest and the config names no source.

    Raises:
      BadScan: The source or its table cannot be used.
    """
    settings, names = self.builder_config, []
    if pathlib.Path(self.data_dir, manifest.NAME).is_file():
      names = [volume['split'] for volume in manifest.read(self.data_dir)['volumes']]
    elif settings.source:
      entries = versions.entries_of(settings, settings.source)
      names = [entry.split for entry in entries if not entry.problem]
    return dict(collections.Counter(names))

  def _versions(self) -> list[versions.Version]:
    """The prepared versions of this data set and of the one that it replaces."""
    root, settings = pathlib.Path(self._data_dir_root) / self.name, self.builder_config
    return versions.prepared(root, settings.first or settings.name, str(self.version))

  def _download_and_prepare(self, dl_manager, download_config):
    # TFDS writes to a temporary folder, which it renames at the end or removes after an
    # error; so the manifest exists if and only if the data set does.
    self._volumes, self._skipped, self._absent, self._scans = [], [], [], []
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
    sources.check_unchanged(self._scans, self.source(dl_manager))
    sources.write(self._scans, self.data_dir)
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
    earlier = self._versions()
    self._scans = versions.record(entries, source, earlier)
    count = reuse.restore(entries, self._scans, earlier, settings, self.parts_folder())
    usable = [entry for entry in entries if not entry.problem]
    prepared = self._prepared(usable, settings.workers if count < len(usable) else 1)
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

  def _prepared(
    self, entries: Sequence[Entry], workers: int
  ) -> list[tuple[Entry, str]]:
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
      results = mapped(work, entries, workers)
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
