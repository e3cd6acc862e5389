"""Unsupervised anomaly detection for brain MRI in JAX."""

import os
import pathlib


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


use_common_kernels()
