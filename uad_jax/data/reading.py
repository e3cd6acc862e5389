"""Sequences that decode and cache the slices or volumes of prepared data sets.

A record is a slice or a volume with its metadata, as a TFDS data set stores it.
"""

import bisect
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

TRAIN_KEYS = ('image', 'mask', 'position')
"""Keys of a record that a training update reads."""

ARRAY_KEYS = ('image', 'mask', 'lesion', 'twin', 'labels', 'velocity')
"""Keys of a record that hold arrays; their bytes count towards the cache."""

TEXT_KEYS = ('subject', 'session', 'domain', 'pathology', 'details')
"""Keys of a record that hold text."""

CACHE_BYTES = 4 * 2**30
"""Default size of a cache of decoded records, in bytes."""


def typed(record: dict) -> dict:
  """Converts the texts of a record (a slice or volume) to str, its masks to float32.

  Args:
    record: A record with the keys of `record.features`; it is not changed.

  Returns:
    A new dict: `TEXT_KEYS` as str, 'mask' and 'lesion' as float32, the rest as it is.
  """
  typed = dict(record)
  for name in TEXT_KEYS:
    if isinstance(typed[name], bytes):
      typed[name] = typed[name].decode()
  for name in ('mask', 'lesion'):
    typed[name] = np.asarray(typed[name], np.float32)
  return typed


def training_example(record: dict) -> dict[str, np.ndarray]:
  """Selects the arrays that training needs from a record (a slice or volume).

  They are those of `TRAIN_KEYS`, as float32, and 'weight', which is 1: the weight of
  the example in the loss.
  """
  example = {name: np.asarray(record[name], np.float32) for name in TRAIN_KEYS}
  return example | {'weight': np.float32(1.0)}


class Parsed(Sequence):
  """Sequence of serialised slices or volumes that decodes each one when it is read.

  Args:
    stored: Serialised records.
    parse: Function from a serialised record to a dict.
  """

  def __init__(self, stored: Sequence, parse: Callable[[Any], dict]):
    self._stored, self._parse = stored, parse

  def __len__(self):
    return len(self._stored)

  def __getitem__(self, index):
    return self._parse(self._stored[index])


class Records(Sequence):
  """Sequence of a split's decoded slices or volumes, with a cache of limited size.

  Args:
    source: Sequence that decodes whole records.
    train_source: Sequence that decodes only `TRAIN_KEYS` of the same records, which is
      faster; `source` by default.
    cache_bytes: Size of the cache in bytes.
  """

  def __init__(
    self,
    source: Sequence,
    train_source: Sequence | None = None,
    cache_bytes: int = CACHE_BYTES,
  ):
    self._source = source
    self._train_source = source if train_source is None else train_source
    self._cache = {}
    self._free_bytes = cache_bytes

  def __len__(self):
    return len(self._source)

  def __getitem__(self, index):
    record = self._cache.get(index)
    if record is None:
      record = typed(self._source[index])
      size = sum(record[name].nbytes for name in ARRAY_KEYS if name in record)
      if size <= self._free_bytes:
        self._free_bytes -= size
        self._cache[index] = record
    return record

  def example(self, index: int) -> dict[str, np.ndarray]:
    """Returns the arrays that training needs for one slice or volume.

    They are those of `training_example`. A cached record is used, but none is added to
    the cache.
    """
    return training_example(self._cache.get(index) or self._train_source[index])


def stored(builder, split: str) -> Records:
  """Opens a split of a prepared TFDS data set as a sequence of its records.

  Args:
    builder: The TFDS builder; its data are prepared.
    split: Name of the split.
  """
  features = builder.info.features
  raw = tfds.decode.DeserializeMethod.RAW_BYTES
  source = builder.as_data_source(split=split, deserialize_method=raw)
  # Arrays that no update reads take half of the time of decoding.
  train_features = tfds.features.FeaturesDict(
    {name: features[name] for name in TRAIN_KEYS}
  )
  return Records(
    Parsed(source, features.deserialize_example_np),
    Parsed(source, train_features.deserialize_example_np),
  )


class Mixture(Sequence):
  """Sequence that concatenates the slices or volumes of several data splits.

  A record keeps only the keys that all splits have. The name of the data set is put
  before the subject, 'oasis/sub-01', so that subjects of two data sets stay apart.

  Args:
    parts: The records of each split.
    names: Name of each split's data set; '' leaves its subjects as they are.
    weights: Relative share of each split in the training examples (see
      `pipeline.order`); None shuffles all records together.
  """

  def __init__(
    self,
    parts: Sequence[Records],
    names: Sequence[str],
    weights: Sequence[float] | None = None,
  ):
    self.parts, self.names, self.weights = tuple(parts), tuple(names), weights
    self._starts = [0, *itertools.accumulate(len(part) for part in parts)]
    self._shared = None

  def __len__(self):
    return self._starts[-1]

  def _place(self, index: int) -> tuple[int, int]:
    """Number of the split that holds record `index`, and the record's index in it."""
    if not 0 <= index < len(self):
      raise IndexError(f'record {index} of {len(self)}')
    part = bisect.bisect(self._starts, index) - 1
    return part, index - self._starts[part]

  def __getitem__(self, index):
    if self._shared is None:
      self._shared = set.intersection(*(set(part[0]) for part in self.parts if part))
    part, within = self._place(index)
    record, name = self.parts[part][within], self.names[part]
    shared = {key: value for key, value in record.items() if key in self._shared}
    return shared | {'subject': f'{name}/{record["subject"]}'} if name else shared

  def example(self, index: int) -> dict[str, np.ndarray]:
    """Returns the arrays that training needs for one slice or volume of the mixture.

    They are those of `training_example`.
    """
    part, within = self._place(index)
    return self.parts[part].example(within)


class Subset(Sequence):
  """Sequence of some of the slices or volumes of a data split.

  Args:
    records: Records of the split.
    indices: Indices of the chosen records.
  """

  def __init__(self, records: Records | Mixture, indices: Sequence[int]):
    self._records, self._indices = records, tuple(indices)

  def __len__(self):
    return len(self._indices)

  def __getitem__(self, index):
    return self._records[self._indices[index]]

  def example(self, index: int) -> dict[str, np.ndarray]:
    """Returns the arrays that training needs, as `training_example` does."""
    return self._records.example(self._indices[index])


def draw(names: Iterable[str], count: int, seed: int) -> list[str]:
  """Draws subjects at random; with one seed, fewer subjects are a part of more.

  Args:
    names: Names of the subjects, in any order.
    count: Number of subjects to draw.
    seed: Seed of the draw.

  Raises:
    ValueError: There are fewer subjects than `count`.

  Examples:
    >>> draw('abcdef', 2, 0) == draw('fedcba', 4, 0)[:2]
    True
  """
  names = sorted(set(names))
  if not 1 <= count <= len(names):
    raise ValueError(
      f'{count} subjects are asked for; there are {len(names)}, allowed are 1 to '
      f'{len(names)}'
    )
  order = np.random.default_rng(seed).permutation(len(names))
  return [names[i] for i in order[:count]]


def of_subjects(records: Records | Mixture, count: int, seed: int) -> Subset:
  """Returns the records of some subjects of a split, drawn at random.

  Args:
    records: Records of the split.
    count: Number of subjects.
    seed: Seed of the draw.

  Raises:
    ValueError: The split has fewer subjects.
  """
  subjects = [records[i]['subject'] for i in range(len(records))]
  chosen = set(draw(subjects, count, seed))
  return Subset(records, [i for i, name in enumerate(subjects) if name in chosen])
