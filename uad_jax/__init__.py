"""Unsupervised anomaly detection for brain MRI in JAX."""

import os
import pathlib


def use_common_kernels() -> None:
  """Lets numpy's linear algebra be the same on every x86 processor since 2013.

  OpenBLAS takes the kernels of the processor that it finds, which add in orders of
  their own; prepared data then differed in the last digits, and with them every
  fingerprint. It is asked when numpy loads; the processes that prepare data load it
  after this. Linux alone tells what a processor has; elsewhere nothing is changed.
  """
  found = pathlib.Path('/proc/cpuinfo')
  if found.exists() and ' avx2 ' in found.read_text():
    os.environ.setdefault('OPENBLAS_CORETYPE', 'Haswell')


use_common_kernels()
