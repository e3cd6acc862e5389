"""Unsupervised anomaly detection for brain MRI in JAX."""

import os
import pathlib
import signal
import sys

MODULES = (
  *('main', 'predict', 'prepare', 'benchmark', 'tune', 'choose_weight'),
  *('adapt', 'comparison', 'ensembles'),
)
"""Modules of the package, and sub-packages with a `__main__`, that are commands."""

SCRIPTS = ('uad-train', 'uad-predict', 'uad-adapt', 'uad-prepare', 'uad-benchmark')
"""Installed programs that start them."""

COMMANDS = frozenset((*SCRIPTS, *(f'uad_jax.{name}' for name in MODULES)))
"""Modules and scripts that end by `end_at_once` until they call `heed_interrupts`."""


def use_common_kernels() -> None:
  """Sets OpenBLAS (numpy's linear algebra) to give equal results on all AVX2 CPUs.

  By default OpenBLAS selects its kernels by CPU model. Each kernel adds numbers in
  another order, so prepared data and their fingerprints differed in the last digits
  between x86 CPUs. The environment variable `OPENBLAS_CORETYPE` is read when numpy is
  first imported, so it is set here, before that. Only Linux lists the features of a
  CPU; on other systems nothing is changed.
  """
  cpu_info = pathlib.Path('/proc/cpuinfo')
  if cpu_info.exists() and ' avx2 ' in cpu_info.read_text():
    os.environ.setdefault('OPENBLAS_CORETYPE', 'Haswell')


def is_command() -> bool:
  """Returns whether this process was started as one of `COMMANDS`.

  It was not if a program imports the package, nor is a worker process.
  """
  return not COMMANDS.isdisjoint(os.path.basename(text) for text in sys.orig_argv)


def end_at_once(*_) -> None:
  """Handler of SIGINT (Ctrl-C) that ends the process with one line, while it imports.

  A KeyboardInterrupt in an import would print a traceback. A command calls
  `heed_interrupts` when its modules are loaded.
  """
  os.write(2, b'interrupted\n')
  os._exit(130)


def heed_interrupts() -> None:
  """Restores Python's handler of SIGINT (Ctrl-C) where `end_at_once` is set."""
  if signal.getsignal(signal.SIGINT) is end_at_once:
    signal.signal(signal.SIGINT, signal.default_int_handler)


use_common_kernels()
if is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
  signal.signal(signal.SIGINT, end_at_once)
