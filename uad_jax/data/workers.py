"""Functions that apply a function to many items in parallel worker processes.

The results are reproducible: they do not depend on the number of processes or cores.
"""

import collections
import functools
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from threadpoolctl import threadpool_limits

from uad_jax.data import cache

MEMORY = {'MALLOC_MMAP_THRESHOLD_': str(2**32), 'MALLOC_TRIM_THRESHOLD_': str(2**32)}
"""Settings of glibc's malloc that keep freed memory in the worker process.

Asking the system for it again took a tenth of the time of preparing a scan.
"""


def begin() -> None:
  """Initialises a worker process so that jax runs on the CPU with a compilation cache.

  Accelerators stay free for other processes.
  """
  os.environ['JAX_PLATFORMS'] = 'cpu'
  os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(cache.folder()))


def on_one_thread(work: Callable, item):
  """Calls the function `work` on an item with linear algebra limited to one thread.

  The limit is that of BLAS. Sums in linear algebra then have one order, whatever the
  number of cores.

  Returns:
    The result of the call.
  """
  with threadpool_limits(1):
    return work(item)


def mapped(work: Callable, items: Sequence, workers: int) -> Iterator:
  """Applies the function `work` to items in worker processes and yields the results.

  The results have the order of the items. Each process uses one BLAS thread, so that
  the results do not depend on the number of cores: with several threads, matrix
  products differed in their last digits, and with them the fingerprints of prepared
  scans.

  Args:
    work: A function that can be pickled.
    items: Its arguments.
    workers: Number of processes; below 2 this process does the work. About 2 * workers
      items are submitted ahead of the consumer.
  """
  work = functools.partial(on_one_thread, work)
  if workers < 2 or len(items) < 2:
    yield from map(work, items)
    return
  # Spawned: the calling process may hold threads of jax, which do not survive a fork.
  context = multiprocessing.get_context('spawn')
  for name, value in MEMORY.items():
    os.environ.setdefault(name, value)  # read by the processes that start from now on
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
