import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.method_table import make_batch
from uad_jax.registry import named

SHAPE = (16, 16)


def replaced(monkeypatch, change):
  """Lets the network of the method be `change(image, time)`, and returns the method."""

  class Network:
    def __init__(self, *sizes):
      pass

    def init(self, key, *inputs):
      return {'params': {}}

    def apply(self, variables, image, time, vector):
      return change(image, time)

  monkeypatch.setattr('uad_jax.methods.disyre.DiffusionUNet', Network)
  return named('methods', 'disyre')


def inferred(method, batch):
  return jax.jit(method.infer)({'unet': {}}, {}, batch, jax.random.key(0))


def loss_of(method):
  return jax.jit(method.objectives['restorer'].loss)


@pytest.mark.parametrize('shape', [(16, 16), (8, 8, 8)], ids=['2d', '3d'])
def test_a_perfect_restorer_gives_the_healthy_image_and_the_residual(
  monkeypatch, shape
):
  # Oracle: with r = 0.5 at each step every restoration ends at 0.5, each |x - r| alike.
  make = replaced(monkeypatch, lambda image, time: 0.5 - image)
  batch = make_batch(shape)
  outputs = inferred(make(shape, starts=(0.3, 1.0), steps=(1, 3)), batch)
  truth = 0.5 * batch['mask']
  np.testing.assert_allclose(outputs['reconstruction'], truth, atol=1e-5)
  apart = np.abs(batch['image'] * batch['mask'] - truth)
  np.testing.assert_allclose(outputs['restored'], apart, atol=1e-5)


def test_the_ensemble_is_the_mean_of_restorations_written_as_loops(monkeypatch):
  """Oracle: the sampler in numpy, with a restorer that depends on image and degree."""
  make = replaced(monkeypatch, lambda image, time: 0.001 * time[0] * (0.4 - image**2))
  batch, starts, steps = make_batch(SHAPE), (0.25, 0.8), (1, 2, 5)
  outputs = inferred(make(SHAPE, starts=starts, steps=steps), batch)
  scan, mask = batch['image'] * batch['mask'], batch['mask']
  ends, maps = [], []
  for start in starts:
    for number in steps:
      x, residuals = scan, []
      for n in range(number):
        degree = start * (1 - n / number)
        r = (x + degree * (0.4 - x**2)) * mask
        residuals.append(np.abs(scan - r))
        x = x - (scan - r) / number
      ends.append(x)
      maps.append(np.mean(residuals, 0))
  np.testing.assert_allclose(outputs['reconstruction'], np.mean(ends, 0), atol=1e-5)
  np.testing.assert_allclose(outputs['restored'], np.mean(maps, 0), atol=1e-5)


def test_the_loss_of_no_change_is_the_mean_square_of_the_anomaly(monkeypatch):
  make = replaced(monkeypatch, lambda image, time: jnp.zeros_like(image))
  batch = make_batch(SHAPE)
  key = jax.random.key(3)
  painted = loss_of(make(SHAPE, share=1.0))
  error, (_, metrics) = painted({'unet': {}}, {}, batch, key, 0)
  assert error > 0
  np.testing.assert_allclose(metrics['left'], 1.0, rtol=1e-5)
  error, _ = loss_of(make(SHAPE, share=0.0))({'unet': {}}, {}, batch, key, 0)
  assert error == 0


def test_padding_and_background_do_not_count(monkeypatch):
  make = replaced(monkeypatch, lambda image, time: 0.1 - 0.3 * image)
  loss = loss_of(make(SHAPE, textures=('texture',)))
  batch = make_batch(SHAPE)
  batch['weight'][-1] = 0
  other = {name: value.copy() for name, value in batch.items()}
  other['image'][-1] *= 0.3
  other['image'] += 7.0 * (1 - other['mask'])
  losses = [loss({'unet': {}}, {}, b, jax.random.key(1), 0)[0] for b in (batch, other)]
  np.testing.assert_allclose(*losses, rtol=1e-6)
  batch['weight'][-1] = 1
  whole, _ = loss({'unet': {}}, {}, batch, jax.random.key(1), 0)
  assert abs(whole - losses[0]) > 1e-6
  maps = [inferred(make(SHAPE), b)['restored'] for b in (batch, other)]
  np.testing.assert_allclose(maps[0][:-1], maps[1][:-1], atol=1e-6)


@pytest.mark.parametrize(
  'options, message',
  [
    (dict(starts=()), 'disyre: number of starts is 0; allowed is a whole number of 1'),
    (dict(starts=(0.5, 0.0)), 'disyre: a start is 0.0; allowed is a number from 0 to'),
    (dict(starts=(1.5,)), 'disyre: a start is 1.5; allowed is a number from 0 to 1'),
    (dict(steps=()), 'disyre: number of entries of steps is 0; allowed is'),
    (dict(steps=(1, 0)), r'disyre: steps is \(1, 0\); allowed are whole numbers of 1'),
    (dict(textures=('tissue',)), "disyre: textures: unknown painter 'tissue'"),
    (dict(share=-0.1), 'disyre: share is -0.1; allowed is a number from 0 to 1'),
    (dict(spread=0.9), 'disyre: spread is 0.9; allowed is a number of 1 or more'),
    (dict(polarity='up'), "disyre: unknown polarity 'up'; there are both"),
  ],
)
def test_wrong_options_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    named('methods', 'disyre')(SHAPE, **options)
