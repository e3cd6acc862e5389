import flax.linen as nn
import jax
import numpy as np
import pytest

from tests.nets.layers.close import assert_close
from uad_jax.nets.layers.conv_transpose import ConvTranspose, transposed_conv


@pytest.mark.parametrize('edge', [4, 5])
@pytest.mark.parametrize('shape', [(6, 5), (4, 3, 5)])
def test_it_is_flaxs_with_the_same_derivatives(shape, edge, key):
  x = jax.random.normal(key, (2, *shape, 3))
  d = len(shape)
  # Oracle: flax.linen.ConvTranspose, with the same names and start of its parameters.
  oracle = nn.ConvTranspose(4, (edge,) * d, (2,) * d)
  params = oracle.init(key, x)
  ours = ConvTranspose(4, edge)
  jax.tree.map(np.testing.assert_array_equal, params, ours.init(key, x))
  params['params']['bias'] = jax.random.normal(key, (4,))

  def value_and_slopes(net):
    def energy(params, x):
      y = net.apply(params, x)
      return (y**2).sum(), y

    return jax.jit(jax.grad(energy, (0, 1), has_aux=True))(params, x)

  derivatives, want = value_and_slopes(ours), value_and_slopes(oracle)
  assert_close(derivatives, want)


def test_other_edges_are_refused():
  with pytest.raises(ValueError, match='an edge of 4 or 5, not 3'):
    transposed_conv(np.zeros((1, 4, 4, 2), 'f'), np.zeros((3, 3, 2, 1), 'f'))
