"""Masked layers: what they see, by the Jacobian, and the density of a code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uad_jax.nets.lsa import Estimator, surprisal


@pytest.mark.parametrize('shape, spatial', [((6,), False), ((4, 3, 2), True)])
def test_a_value_is_predicted_from_those_before_it(shape, spatial, key):
  net = Estimator((5, 4), bins=7, spatial=spatial)
  z = jax.random.uniform(key, (1, *shape))
  params = net.init(key, z)
  logits = jax.jit(lambda x: net.apply(params, x.reshape(1, *shape)).sum(-1).ravel())
  jacobian = np.asarray(jax.jit(jax.jacrev(logits))(z.ravel()))
  places = np.prod(shape[:-1]) if spatial else shape[0]
  order = np.repeat(np.arange(places), shape[-1] if spatial else 1)
  sees = np.abs(jacobian) > 1e-9
  # Row: predicted value; column: value that is seen.
  assert not sees[order[:, None] <= order[None]].any()
  nearest = order[:, None] == order[None] + 1
  assert sees[nearest].any() and sees.any(1)[order > 0].mean() > 0.9


def test_the_probabilities_of_all_codes_add_up_to_one(key):
  net = Estimator((4,), bins=3)
  params = net.init(key, jnp.zeros((1, 3)))
  centres = (np.arange(3) + 0.5) / 3
  codes = np.stack(np.meshgrid(*[centres] * 3, indexing='ij'), -1).reshape(-1, 3)
  codes = jnp.float32(codes)
  nats = jax.jit(lambda z: surprisal(net.apply(params, z), z))(codes)
  assert float(jnp.exp(-nats.sum(-1)).sum()) == pytest.approx(1, abs=1e-5)


def test_the_bin_of_a_value_carries_no_gradient_and_ends_are_inside():
  logits = jnp.log(jnp.array([[0.2, 0.3, 0.5]]))
  for value, probability in ((0.0, 0.2), (0.5, 0.3), (1.0, 0.5)):
    nats = surprisal(logits, jnp.array([value]))
    assert float(nats[0]) == pytest.approx(-np.log(probability), rel=1e-5)
  slope = jax.grad(lambda z: surprisal(logits, z).sum())(jnp.array([0.4]))
  assert float(slope[0]) == 0.0
