import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.method_table import make_batch
from uad_jax.registry import named


@pytest.fixture
def perfect(monkeypatch):
  """A network that adds what leads to the image of 0.5 in the brain."""

  class Perfect:
    def __init__(self, *widths, **options):
      pass

    def init(self, key, *inputs):
      return {'params': {}}

    def apply(self, variables, image, maps, vector):
      return 0.5 - image

  monkeypatch.setattr('uad_jax.methods.cold_diffusion.UNet', Perfect)


@pytest.mark.parametrize('steps', [1, 2, 7])
def test_a_perfect_restorer_is_followed_to_the_end(perfect, steps):
  # Oracle: x_{s - d} = x_s - d (x_1 - r) with r constant ends at r after 1 / d steps.
  method = named('methods', 'cold_diffusion')((16, 16), steps=steps)
  batch = make_batch((16, 16))
  outputs = method.infer({'unet': {}}, {}, batch, jax.random.key(0))
  truth = 0.5 * batch['mask']
  np.testing.assert_allclose(outputs['reconstruction'], truth, atol=1e-5)
  apart = np.abs(batch['image'] * batch['mask'] - truth)
  np.testing.assert_allclose(outputs['restored'], apart, atol=1e-5)


def test_the_severity_is_told(key):
  method = named('methods', 'cold_diffusion')((16, 16), widths=(4, 8), blocks=1)
  batch = make_batch((16, 16))
  params, _ = method.init(key, batch)
  # Conditioning starts at zero; turned on, another severity gives another answer.
  params = jax.tree.map(lambda x: x + 0.1, params)
  one = named('methods', 'cold_diffusion')((16, 16), widths=(4, 8), blocks=1, steps=1)
  two = named('methods', 'cold_diffusion')((16, 16), widths=(4, 8), blocks=1, steps=2)
  first = one.infer(params, {}, batch, key)['restored']
  second = two.infer(params, {}, batch, key)['restored']
  assert np.abs(first - second).max() > 1e-4
  assert jnp.isfinite(first).all()


def test_no_steps_are_refused():
  with pytest.raises(ValueError, match='0 steps; allowed are 1 or more'):
    named('methods', 'cold_diffusion')((16, 16), steps=0)
