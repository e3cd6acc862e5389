"""Unsupervised anomaly detection for brain MRI in JAX."""

import os
import pathlib


def use_common_kernels() -> None:
  """Makes numpy's linear algebra give the same digits on every x86 CPU with AVX2.

  OpenBLAS selects its kernels by CPU model, and each kernel adds in another order;
  prepared data then differed in the last digits, and so did their fingerprints. The
  setting counts when numpy is first imported, so it is made here, before that. Only
  Linux lists the features of a CPU; on other systems nothing is changed.
  """
  cpu_info = pathlib.Path('/proc/cpuinfo')
  if cpu_info.exists() and ' avx2 ' in cpu_info.read_text():
    os.environ.setdefault('OPENBLAS_CORETYPE', 'Haswell')


use_common_kernels()
