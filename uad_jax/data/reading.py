"""The records of stored splits, decoded when they are asked for, and their mixtures."""

import bisect
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

TRAIN_KEYS = ('image', 'mask', 'position')
ARRAY_KEYS = ('image', 'mask', 'lesion', 'twin', 'labels', 'velocity')
TEXT_KEYS = ('subject', 'session', 'domain', 'pathology', 'details')
CACHE_BYTES = 4 * 2**30


def typed(record: dict) -> dict:
  """A decoded record with text as str and images and masks as float32."""
  typed = dict(record)
  for name in TEXT_KEYS:
    if isinstance(typed[name], bytes):
      typed[name] = typed[name].decode()
  for name in ('mask', 'lesion'):
    typed[name] = np.asarray(typed[name], np.float32)
  return typed


def training_example(record: dict) -> dict[str, np.ndarray]:
  """What an update sees of a record."""
  example = {name: np.asarray(record[name], np.float32) for name in TRAIN_KEYS}
  return example | {'weight': np.float32(1.0)}


class Parsed(Sequence):
  """What `parse` makes of each stored record."""

  def __init__(self, stored: Sequence, parse: Callable[[Any], dict]):
    self._stored, self._parse = stored, parse

  def __len__(self):
    return len(self._stored)

  def __getitem__(self, index):
    return self._parse(self._stored[index])


class Records(Sequence):
  """The records of a split; decoded once and kept when they fit into memory.

  Args:
    source: Decoded records.
    light: The same ones with no more than `TRAIN_KEYS` decoded; `source` by default.
    cache_bytes: Memory for what is kept.
  """

  def __init__(
    self,
    source: Sequence,
    light: Sequence | None = None,
    cache_bytes: int = CACHE_BYTES,
  ):
    self._source = source
    self._light = source if light is None else light
    self._cache = {}
    self._room = cache_bytes

  def __len__(self):
    return len(self._source)

  def __getitem__(self, index):
    record = self._cache.get(index)
    if record is None:
      record = typed(self._source[index])
      size = sum(record[name].nbytes for name in ARRAY_KEYS if name in record)
      if size <= self._room:
        self._room -= size
        self._cache[index] = record
    return record

  def example(self, index: int) -> dict[str, np.ndarray]:
    """What an update sees of a record; it is not kept."""
    return training_example(self._cache.get(index) or self._light[index])


def stored(builder, split: str) -> Records:
  """The records of a prepared TFDS data set."""
  features = builder.info.features
  raw = tfds.decode.DeserializeMethod.RAW_BYTES
  source = builder.as_data_source(split=split, deserialize_method=raw)
  # Half of the time of decoding is that of arrays which no update sees.
  light = tfds.features.FeaturesDict({name: features[name] for name in TRAIN_KEYS})
  return Records(
    Parsed(source, features.deserialize_example_np),
    Parsed(source, light.deserialize_example_np),
  )


class Mixture(Sequence):
  """Records of several splits, one after another; a training may weight them.

  A record has the keys that all splits share. Subjects are told apart by the name of
  their data set: 'oasis/sub-01'.

  Args:
    parts: The splits.
    names: Of their data sets; '' adds nothing to the subjects.
    weights: Each split's share of the training examples, up to a common factor; None
      shuffles all records together.
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
    """(part, index in it) of a record."""
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
    """What an update sees of a record."""
    part, within = self._place(index)
    return self.parts[part].example(within)
