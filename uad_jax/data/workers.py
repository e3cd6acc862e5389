"""Functions that apply a function to many items in parallel worker processes.

The results are reproducible: they do not depend on the number of processes or cores.
"""

import collections
import contextlib
import functools
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from threadpoolctl import threadpool_limits

from uad_jax.data import cache

MEMORY = {'MALLOC_MMAP_THRESHOLD_': str(2**32), 'MALLOC_TRIM_THRESHOLD_': str(2**32)}
"""Settings of glibc's malloc that keep freed memory in the worker process.

Asking the system for it again took a tenth of the time of preparing a scan.
"""


def begin() -> None:
  """Initialises a worker process so that jax runs on the CPU.

  Accelerators stay free for other processes. On SIGTERM the process exits without an
  error message, and removes the file that it was writing.
  """
  os.environ['JAX_PLATFORMS'] = 'cpu'
  signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def on_one_thread(work: Callable, item):
  """Calls the function `work` on an item with linear algebra limited to one thread.

  The limit is that of BLAS. Sums in linear algebra then have one order, whatever the
  number of cores.

  Returns:
    The result of the call.
  """
  with threadpool_limits(1):
    return work(item)


def until_told_to_end(work: Callable, item):
  """Calls the function `work` on an item, and ends the worker process on SIGTERM.

  SIGTERM raises SystemExit in the worker (see `begin`). Without this function the pool
  would count it as the failure of one item and continue with the next.

  Returns:
    The result of the call.
  """
  try:
    return on_one_thread(work, item)
  except SystemExit as stop:
    os._exit(stop.code)


@contextlib.contextmanager
def deaf_to_interrupts():
  """Context manager: processes that are started within it ignore Ctrl-C.

  Ctrl-C sends SIGINT to all processes of a terminal. Only the calling process shall
  handle it; it then ends the others, see `mapped`.
  """
  if not hasattr(signal, 'pthread_sigmask'):  # Windows
    yield
    return
  before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
  try:
    yield
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def without_main_module():
  """Context manager: processes started within it do not import the main module.

  The main module is that of the running program. It may import jax and more, which
  takes seconds and which the processes may not need.
  """
  main = sys.modules['__main__']
  hidden = {name: vars(main).pop(name) for name in ('__file__',) if hasattr(main, name)}
  spec, main.__spec__ = main.__spec__, None
  try:
    yield
  finally:
    main.__spec__ = spec
    vars(main).update(hidden)


def mapped(
  work: Callable, items: Sequence, workers: int, *, main_module: bool = True
) -> Iterator:
  """Applies the function `work` to items in worker processes and yields the results.

  The results have the order of the items. Each process uses one BLAS thread, so that
  the results do not depend on the number of cores: with several threads, matrix
  products differed in their last digits, and with them the fingerprints of prepared
  scans.

  Args:
    work: A function that can be pickled.
    items: Items to call `work` on, one per call.
    workers: Number of processes; below 2 the calling process does the work. About
      2 * workers items are submitted before their results are asked for. Ctrl-C, or
      closing the iterator, ends the processes at once.
    main_module: Whether the processes import the main module of the program, in which
      `work` or the items may be defined.
  """
  if workers < 2 or len(items) < 2:
    yield from map(functools.partial(on_one_thread, work), items)
    return
  work = functools.partial(until_told_to_end, work)
  # Spawned: the calling process may hold threads of jax, which do not survive a fork.
  context = multiprocessing.get_context('spawn')
  for name, value in MEMORY.items():
    os.environ.setdefault(name, value)  # read by the processes that start from now on
  if (folder := cache.folder()) is not None:
    os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(folder))
  with ProcessPoolExecutor(min(workers, len(items)), context, begin) as pool:
    waiting = collections.deque()
    try:
      for item in items:
        imports = contextlib.nullcontext() if main_module else without_main_module()
        with deaf_to_interrupts(), imports:  # as a process may start here
          waiting.append(pool.submit(work, item))
        if len(waiting) > 2 * workers:
          yield waiting.popleft().result()
      while waiting:
        yield waiting.popleft().result()
    except BaseException as reason:
      pool.shutdown(wait=False, cancel_futures=True)
      if isinstance(reason, KeyboardInterrupt | GeneratorExit):
        for process in multiprocessing.active_children():
          process.terminate()  # what still runs is not waited for
      raise
