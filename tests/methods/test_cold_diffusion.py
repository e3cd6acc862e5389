import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.method_table import make_batch
from uad_jax.registry import named


@pytest.fixture
def perfect(monkeypatch):
  """A network whose prediction turns every image into 0.5 inside the brain."""

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


@pytest.mark.slow
def test_the_severity_is_told(monkeypatch, key):
  told = []

  class Recording:
    def __init__(self, *widths, **options):
      pass

    def apply(self, variables, image, maps, vector):
      told.append(np.asarray(vector))
      return jnp.zeros_like(image)

  monkeypatch.setattr('uad_jax.methods.cold_diffusion.UNet', Recording)
  batch = make_batch((16, 16))
  with jax.disable_jit():
    for steps in (1, 2):
      method = named('methods', 'cold_diffusion')((16, 16), steps=steps)
      method.infer({'unet': {}}, {}, batch, key)
    method.objectives['restorer'].loss({'unet': {}}, {}, batch, key, 0)
  alone, whole, half, drawn = told
  np.testing.assert_array_equal(alone, whole)
  assert np.abs(whole - half).max() > 0.1
  assert len(np.unique(drawn[:, 0])) == len(drawn)


def test_no_steps_are_refused():
  with pytest.raises(ValueError, match='0 steps; allowed are 1 or more'):
    named('methods', 'cold_diffusion')((16, 16), steps=0)
