"""Derivatives of known functions of the image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uad_jax.scores.gradient import make

SHAPE = (2, 8, 8, 2)


def batch_of(key):
  mask = jnp.zeros((2, 8, 8, 1)).at[:, 1:-1, 1:-1].set(1.0)
  return {'image': jax.random.normal(key, SHAPE), 'mask': mask}


def infer(batch, key):
  """ELBO -|x|^2, KL 3 sum x, error sum x^3, reconstruction x / 2."""
  x = batch['image']
  return {
    'elbo': -(x**2).sum((1, 2, 3)),
    'kl': 3 * x.sum((1, 2, 3)),
    'rec': (x**3).sum((1, 2, 3)),
    'reconstruction': 0.5 * x,
  }


@pytest.mark.parametrize(
  'of, slope',
  [
    ('elbo', lambda x: 2 * jnp.abs(x)),
    ('kl', lambda x: 3 + 0 * x),
    ('rec', lambda x: 3 * x**2),
    ('error', lambda x: jnp.abs(0.25 * x)),  # of (x - x / 2)^2 / 2
  ],
)
@pytest.mark.parametrize('residual', [False, True])
def test_the_derivative_in_closed_form(of, slope, residual, key):
  batch = batch_of(key)
  x = batch['image']
  want = slope(x) * (jnp.abs(x / 2) if residual else 1.0) * batch['mask']
  found = make(of=of, residual=residual)(infer, batch, key)
  np.testing.assert_allclose(found, want.mean(-1, keepdims=True), rtol=1e-5)


def test_what_lacks_is_told(key):
  def only(batch, key):
    return {'elbo': batch['image'].sum((1, 2, 3))}

  batch = batch_of(key)
  assert make()(only, batch, key).shape == (2, 8, 8, 1)
  for options in (dict(of='kl'), dict(residual=True)):
    with pytest.raises(ValueError, match="scorer 'gradient' needs .*method gives elbo"):
      make(**options)(only, batch, key)
  with pytest.raises(ValueError, match="unknown 'of' 'luck'; there are elbo, kl"):
    make(of='luck')
