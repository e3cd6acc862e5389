"""Work in processes: in order, and on one thread each."""

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
