"""The search in blocks is that of all distances, and its memory does not grow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uad_jax.detectors.families.neighbours import nearest


@pytest.mark.parametrize('k', [1, 3])
@pytest.mark.parametrize('queries, block', [(7, 10), (100, 37), (1, 1)])
def test_it_is_the_search_of_all_distances(k, queries, block):
  random = np.random.default_rng(0)
  x, bank = random.normal(size=(23, 5)), random.normal(size=(37, 5))
  distances = np.linalg.norm(x[:, None] - bank[None], axis=-1)
  order = distances.argsort(1)[:, :k]
  found, rows = jax.jit(lambda x, b: nearest(x, b, k, queries, block))(
    jnp.float32(x), jnp.float32(bank)
  )
  np.testing.assert_array_equal(rows, order)
  np.testing.assert_allclose(found, np.take_along_axis(distances, order, 1), atol=1e-4)


def test_the_memory_is_that_of_one_product():
  def needed(n, m):
    shapes = [jax.ShapeDtypeStruct((size, 16), jnp.float32) for size in (m, n)]
    search = jax.jit(lambda x, bank: nearest(x, bank, 1, 64, 256))
    return search.lower(*shapes).compile().memory_analysis().temp_size_in_bytes

  small, large = needed(512, 128), needed(16 * 512, 128)
  assert large < 2 * small < 2**22
