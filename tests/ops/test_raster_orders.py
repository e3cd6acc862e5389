import numpy as np
import pytest

from uad_jax.ops import raster_orders


@pytest.mark.parametrize('shape, many', [((3, 4), 8), ((2, 2, 3), 48)])
def test_raster_orders(shape, many):
  found = raster_orders.raster(shape, many)
  assert len({tuple(order) for order in found}) == many
  assert (np.sort(found, 1) == np.arange(np.prod(shape))).all()
  np.testing.assert_array_equal(found[0], np.arange(np.prod(shape)))
  np.testing.assert_array_equal(found[1], found[0][::-1])
  with pytest.raises(ValueError, match=f'allowed are 1 to {many}'):
    raster_orders.raster(shape, many + 1)
