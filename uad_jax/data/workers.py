"""Work spread over processes, in order, a few items ahead."""

import collections
import functools
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from threadpoolctl import threadpool_limits

from uad_jax.data import cache

MEMORY = {'MALLOC_MMAP_THRESHOLD_': str(2**32), 'MALLOC_TRIM_THRESHOLD_': str(2**32)}
"""Freed memory is kept: to page it in anew took a tenth of the time of a scan."""


def begin() -> None:
  """What a worker does first: a step that needs jax leaves accelerators to others."""
  os.environ['JAX_PLATFORMS'] = 'cpu'
  os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(cache.folder()))


def on_one_thread(work: Callable, item):
  """work(item); linear algebra adds in the same order whatever the machine has."""
  with threadpool_limits(1):
    return work(item)


def mapped(work: Callable, items: Sequence, workers: int) -> Iterator:
  """`work` of each item, in order, by `workers` processes, a few items ahead.

  The results do not depend on the number of cores: with as many threads as there are,
  matrix products differed in the last digits, and with them every fingerprint.
  """
  work = functools.partial(on_one_thread, work)
  if workers < 2 or len(items) < 2:
    yield from map(work, items)
    return
  # Spawned: the calling process may hold threads of jax, which do not survive a fork.
  context = multiprocessing.get_context('spawn')
  for name, value in MEMORY.items():
    os.environ.setdefault(name, value)  # read when a process starts: those to come
  with ProcessPoolExecutor(min(workers, len(items)), context, begin) as pool:
    waiting = collections.deque()
    try:
      for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > 2 * workers:
          yield waiting.popleft().result()
      while waiting:
        yield waiting.popleft().result()
    finally:
      for future in waiting:
        future.cancel()
