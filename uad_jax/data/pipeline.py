"""Functions that make batches of records for training and evaluation.

They work on one host or on several. Training reads an endless, shuffled grain stream,
whose state can be saved and restored exactly. Evaluation reads each record once, in
order; its last batch is padded with examples of weight 0.
"""

import itertools
import threading
from collections.abc import Iterator, Sequence

import grain
import numpy as np

from uad_jax.data.reading import CACHE_BYTES, Mixture, Records, Subset

ENDLESS = 2**62
"""Number of examples that stands for all of an endless stream; grain cannot count the
batches of one example of a longer one."""


class Examples:
  """In-memory cache of training examples, each stored when it is first read.

  It holds one array per key of an example. A batch is made in two steps: reading
  threads call `load`, then the consumer calls `gather`. The consumer builds the batch
  because memory that a thread frees is returned to the system and paged in again for
  each batch (see `parallel.keep_memory`), which takes longer than the copy.

  Args:
    records: The records of the training split.
    cache_bytes: Size of the cache in bytes; it holds one example at least.
  """

  def __init__(self, records: Records | Mixture, cache_bytes: int = CACHE_BYTES):
    self._records = records
    first = records.example(0)
    size = sum(value.nbytes for value in first.values())
    rows = min(len(records), max(1, cache_bytes // size))
    self._cache = {n: np.empty((rows, *v.shape), v.dtype) for n, v in first.items()}
    self._free_rows = iter(range(rows))
    self._row = np.full(len(records), -1)  # by record, its row in `_cache`
    self._lock = threading.Lock()

  def load(self, indices: np.ndarray) -> tuple[np.ndarray, dict[int, dict]]:
    """Reads the examples at `indices` that are not cached yet, and caches them.

    Examples are cached until the cache is full.

    Args:
      indices: [B] indices of records.

    Returns:
      `indices`, and by index the examples that the cache has no room for.
    """
    uncached = {}
    for index in indices[self._row[indices] < 0].tolist():
      example = self._records.example(index)
      with self._lock:
        if self._row[index] < 0:
          row = next(self._free_rows, None)
          if row is None:
            uncached[index] = example
            continue
          for name, array in self._cache.items():
            array[row] = example[name]
          self._row[index] = row
    return indices, uncached

  def gather(self, loaded: tuple[np.ndarray, dict[int, dict]]) -> dict[str, np.ndarray]:
    """Combines the examples that `load` has read into one batch.

    Args:
      loaded: The return value of `load`.

    Returns:
      Arrays [B, ...] by key.
    """
    indices, uncached = loaded
    rows = self._row[indices]
    batch = {name: array[rows] for name, array in self._cache.items()}
    for place in np.flatnonzero(rows < 0):
      for name, value in uncached[int(indices[place])].items():
        batch[name][place] = value
    return batch


def order(records: Records | Mixture, seed: int) -> grain.MapDataset:
  """Returns an endless sequence of record indices, shuffled anew in each epoch.

  A mixture with weights interleaves its splits in proportion to their weights; each
  split then has its own epochs.

  Args:
    records: The records of the training split.
    seed: Seed of the shuffling.
  """
  weights = records.weights if isinstance(records, Mixture) else None
  if weights is None:
    return grain.MapDataset.range(len(records)).shuffle(seed=seed).repeat()
  orders, start = [], 0
  for place, part in enumerate(records.parts):
    part_seed = np.random.SeedSequence((seed, place)).generate_state(1)[0]
    indices = grain.MapDataset.range(start, start + len(part))
    orders.append(indices.shuffle(seed=int(part_seed)).repeat())
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
  """Returns an endless iterator over shuffled training batches.

  Its state can be saved and restored (get_state, set_state). The batches of all hosts
  together are the batch that a single host would yield.

  Args:
    records: All records of the split, the same on every host.
    batch_size: Number of examples over all hosts; each yields batch_size / hosts.
    seed: Seed of the shuffling.
    host: Index of this host, in [0, hosts).
    hosts: Number of hosts.
    threads: Number of reading threads; it does not change the order.

  Returns:
    Iterator over dicts with 'image', 'mask', 'position' and 'weight', [B, ...] float32.

  Raises:
    ValueError: There are no records, or `hosts` does not divide `batch_size`.
  """
  if len(records) == 0:
    raise ValueError('the training split is empty')
  if batch_size % hosts:
    raise ValueError(f'batch_size {batch_size} does not divide over {hosts} hosts')
  if not isinstance(records, Records | Mixture | Subset):
    records = Records(records)
  examples = Examples(records)
  # Dealt to the hosts after it repeats: no record is lost where `hosts` does not divide
  # an epoch.
  indices = order(records, seed)[host:ENDLESS:hosts]
  loaded = indices.batch(batch_size // hosts, batch_fn=np.array).map(examples.load)
  options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
  return iter(loaded.to_iter_dataset(options).map(examples.gather))


def padded(batch: dict[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
  """Pads a batch to `size` examples by repeating its last example with weight 0.

  Args:
    batch: Arrays [B, ...] by key, 'weight' among them, with B at most `size`.
    size: Number of examples of the padded batch.
  """
  missing = size - len(batch['weight'])
  if missing == 0:
    return batch
  filled = {
    name: np.concatenate([array, np.repeat(array[-1:], missing, 0)])
    for name, array in batch.items()
  }
  filled['weight'][-missing:] = 0
  return filled


def ordered_batches(
  records: Sequence, batch_size: int, host: int = 0, hosts: int = 1
) -> Iterator[dict[str, np.ndarray]]:
  """Yields the evaluation batches of one host, without shuffling its records.

  Each record of the host's scans is yielded once. Scans (subject and session) are dealt
  to the hosts in turn, so that one host sees all slices of a scan. The last batch is
  padded by `padded`.

  Args:
    records: All records of the split, the same on every host.
    batch_size: Number of examples of a batch on this host.
    host: Index of this host, in [0, hosts).
    hosts: Number of hosts.

  Yields:
    All keys of the records and 'weight' (1, or 0 for padding), [batch_size, ...].
  """

  def records_of_host():
    scans = {}
    for index in range(len(records)):
      record = records[index]
      scan = (record['subject'], record['session'])
      if scans.setdefault(scan, len(scans)) % hosts == host:
        yield record

  remaining = records_of_host()
  while chosen := list(itertools.islice(remaining, batch_size)):
    batch = {name: np.stack([record[name] for record in chosen]) for name in chosen[0]}
    batch['weight'] = np.ones(len(chosen), np.float32)
    yield padded(batch, batch_size)
