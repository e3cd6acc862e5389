"""From records to batches: cached, shuffled, resumable, split over hosts, padded.

Training reads an endless shuffled grain stream whose state can be saved and restored
exactly. Evaluation reads each record once, in order; padding has weight 0.
"""

import itertools
import threading
from collections.abc import Iterator, Sequence

import grain
import numpy as np

from uad_jax.data.reading import CACHE_BYTES, Mixture, Records


class Examples:
  """Training examples, kept as one array a key while they fit, and gathered to batches.

  Reading threads `load`; the consumer gathers, for a thread's memory is paged in anew
  with each batch (see `parallel.keep_memory`), which takes longer than the copy.

  Args:
    records: Where they are read.
    cache_bytes: Memory for what is kept.
  """

  def __init__(self, records: Records | Mixture, cache_bytes: int = CACHE_BYTES):
    self._records = records
    like = records.example(0)
    size = sum(value.nbytes for value in like.values())
    room = min(len(records), max(1, cache_bytes // size))
    self._kept = {n: np.empty((room, *v.shape), v.dtype) for n, v in like.items()}
    self._free = iter(range(room))
    self._row = np.full(len(records), -1)  # of an example in `_kept`
    self._lock = threading.Lock()

  def load(self, indices: np.ndarray) -> tuple[np.ndarray, dict[int, dict]]:
    """Reads what is not kept; the indices again, and by index what found no room."""
    homeless = {}
    for index in indices[self._row[indices] < 0].tolist():
      example = self._records.example(index)
      with self._lock:
        if self._row[index] < 0:
          row = next(self._free, None)
          if row is None:
            homeless[index] = example
            continue
          for name, array in self._kept.items():
            array[row] = example[name]
          self._row[index] = row
    return indices, homeless

  def gather(self, loaded: tuple[np.ndarray, dict[int, dict]]) -> dict[str, np.ndarray]:
    """The loaded examples, stacked."""
    indices, homeless = loaded
    rows = self._row[indices]
    batch = {name: array[rows] for name, array in self._kept.items()}
    for place in np.flatnonzero(rows < 0):
      for name, value in homeless[int(indices[place])].items():
        batch[name][place] = value
    return batch


def order(records: Records | Mixture, seed: int) -> grain.MapDataset:
  """The endless order of a training: indices into the records, shuffled each epoch.

  A mixture with weights takes from each of its splits in turn, in proportion, and each
  split has epochs of its own.
  """
  weights = records.weights if isinstance(records, Mixture) else None
  if weights is None:
    return grain.MapDataset.range(len(records)).shuffle(seed=seed).repeat()
  orders, start = [], 0
  for place, part in enumerate(records.parts):
    own = np.random.SeedSequence((seed, place)).generate_state(1)[0]
    within = grain.MapDataset.range(start, start + len(part))
    orders.append(within.shuffle(seed=int(own)).repeat())
    start += len(part)
  return grain.MapDataset.mix(orders, weights)


def training_stream(
  records: Sequence,
  batch_size: int,
  seed: int,
  host: int = 0,
  hosts: int = 1,
  threads: int = 1,
) -> grain.DatasetIterator:
  """An endless iterator over shuffled batches, with get_state and set_state.

  The hosts' batches together are the batch that one host would yield.

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
  if batch_size % hosts:
    raise ValueError(f'batch_size {batch_size} does not divide over {hosts} hosts')
  if not isinstance(records, Records | Mixture):
    records = Records(records)
  examples = Examples(records)
  # Cut after it repeats, an epoch that does not divide over the hosts loses no record.
  mine = order(records, seed)[host::hosts]
  loaded = mine.batch(batch_size // hosts, batch_fn=np.array).map(examples.load)
  options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
  return iter(loaded.to_iter_dataset(options).map(examples.gather))


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

  def mine():
    scans = {}
    for index in range(len(records)):
      record = records[index]
      scan = (record['subject'], record['session'])
      if scans.setdefault(scan, len(scans)) % hosts == host:
        yield record

  found = mine()
  while chosen := list(itertools.islice(found, batch_size)):
    batch = {name: np.stack([record[name] for record in chosen]) for name in chosen[0]}
    batch['weight'] = np.ones(len(chosen), np.float32)
    yield padded(batch, batch_size)
