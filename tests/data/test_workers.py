"""Worker processes keep the order of the items and use one BLAS thread each."""

import os
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from uad_jax.data import workers


def threads(item):
  assert np.ones(1) @ np.ones(1) == 1  # its linear algebra is what is limited
  return item, max((pool['num_threads'] for pool in threadpool_info()), default=1)


@pytest.mark.parametrize('count', [1, 2])
def test_order_is_kept_and_linear_algebra_has_one_thread(count):
  assert list(workers.mapped(threads, range(5), count)) == [(i, 1) for i in range(5)]


def kernels(item):
  assert np.ones(1) @ np.ones(1) == 1
  return [
    p['architecture'] for p in threadpool_info() if p['internal_api'] == 'openblas'
  ]


@pytest.mark.skipif(
  os.environ.get('OPENBLAS_CORETYPE') != 'Haswell', reason='no x86 that has these'
)
@pytest.mark.parametrize('count', [1, 2])
def test_linear_algebra_has_the_kernels_that_all_have(count):
  for found in workers.mapped(kernels, range(2), count):
    assert {*found} == {'Haswell'}


def imports_main(item):
  return hasattr(sys.modules['__main__'], '__file__')


def test_processes_need_not_import_the_main_module():
  main = sys.modules['__main__']
  before = main.__spec__, getattr(main, '__file__', None)
  light = workers.mapped(imports_main, range(2), 2, main_module=False)
  assert list(light) == [False, False]
  assert (main.__spec__, getattr(main, '__file__', None)) == before
