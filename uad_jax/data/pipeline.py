"""From records to batches: cached, shuffled, resumable, split over hosts, padded.

Training reads an endless shuffled grain stream whose state can be saved and restored
exactly. Evaluation reads each record once, in order; padding has weight 0.
"""

from collections.abc import Iterator, Sequence

import grain
import numpy as np

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


class Records(Sequence):
  """The records of a split; decoded once and kept when they fit into memory."""

  def __init__(self, source: Sequence, cache_bytes: int = CACHE_BYTES):
    self._source = source
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


def training_example(record: dict) -> dict[str, np.ndarray]:
  """What an update sees of a record."""
  example = {name: np.asarray(record[name], np.float32) for name in TRAIN_KEYS}
  return example | {'weight': np.float32(1.0)}


def training_stream(
  records: Sequence,
  batch_size: int,
  seed: int,
  host: int = 0,
  hosts: int = 1,
  threads: int = 1,
) -> grain.DatasetIterator:
  """An endless iterator over shuffled batches, with get_state and set_state.

  Args:
    records: All records of the split, the same on every host.
    batch_size: Examples of the global batch; each host yields its share of it.
    seed: Order of the records; each epoch has its own.
    host: This host's index among `hosts`.
    hosts: Number of hosts.
    threads: Reading threads; they do not change the order.
  """
  if len(records) == 0:
    raise ValueError('the training split is empty')
  local = batch_size // hosts
  dataset = grain.MapDataset.source(records).shuffle(seed=seed)
  if hosts > 1:
    dataset = dataset[host::hosts]
  dataset = dataset.map(training_example).repeat().batch(local)
  options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
  return iter(dataset.to_iter_dataset(options))


def padded(batch: dict[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
  """The batch filled up to `size` examples by repeating the last with weight 0."""
  short = size - len(batch['weight'])
  if short == 0:
    return batch
  filled = {
    name: np.concatenate([array, np.repeat(array[-1:], short, 0)])
    for name, array in batch.items()
  }
  filled['weight'][-short:] = 0
  return filled


def ordered_batches(
  records: Sequence, batch_size: int, host: int = 0, hosts: int = 1
) -> Iterator[dict[str, np.ndarray]]:
  """Each record of this host's subjects once, in order; all batches of one size.

  Subjects, not records, are dealt to the hosts: a subject's slices stay together.
  """
  subjects = {}
  kept = []
  for index in range(len(records)):
    record = records[index]
    scan = (record['subject'], record['session'])
    if subjects.setdefault(scan, len(subjects)) % hosts == host:
      kept.append(index)
  for start in range(0, len(kept), batch_size):
    chosen = [records[index] for index in kept[start : start + batch_size]]
    batch = {name: np.stack([record[name] for record in chosen]) for name in chosen[0]}
    batch['weight'] = np.ones(len(chosen), np.float32)
    yield padded(batch, batch_size)
