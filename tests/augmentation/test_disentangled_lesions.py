import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.augmentation.phantoms import batch
from uad_jax.augmentation import disentangled_lesions
from uad_jax.augmentation.disentangled_lesions import Anomaly, Degrees

CHECK = ('textures', 'intensities', 'share', 'spread')


def constant(size, degree):
  return Degrees(*jnp.full((3, size), degree))


@pytest.mark.parametrize(
  'shape',
  [(16, 16), pytest.param((8, 8, 8), marks=pytest.mark.slow)],
  ids=['2d', '3d'],
)
def test_an_anomaly_is_absent_at_degree_0_and_complete_at_1(shape, key):
  image, mask = batch(shape)
  anomaly = jax.jit(disentangled_lesions.draw)(key, image, mask)
  absent, complete = (
    disentangled_lesions.corrupt(image, anomaly, constant(3, t)) for t in (0.0, 1.0)
  )
  np.testing.assert_array_equal(absent, image)
  total = np.maximum(image + anomaly.texture + anomaly.intensity, 0)
  np.testing.assert_allclose(complete, total, atol=1e-5)
  assert np.abs(complete - image).max() > 0.05
  assert np.abs(np.where(mask > 0, 0, complete - image)).max() == 0


def test_each_component_follows_its_degree():
  # Oracle: the formula by hand at a core (m = 1), at the half and at the rim.
  m = jnp.array([1.0, 0.5, 0.2]).reshape(1, 3, 1, 1)
  image, texture, intensity = 0.5 * jnp.ones_like(m), 0.2 * m, -0.2 * m
  at = Degrees(jnp.array([0.75]), jnp.array([0.5]), jnp.array([0.25]))
  changed = disentangled_lesions.corrupt(image, Anomaly(m, texture, intensity), at)
  grown = np.array([1.0, 1 / 3, 0.0])  # (m - 0.25) / 0.75
  expected = 0.5 + grown * (0.5 * 0.2 - 0.25 * 0.2)
  np.testing.assert_allclose(changed.ravel(), expected, atol=1e-6)
  darker = Anomaly(m, texture, -4 * m)
  assert disentangled_lesions.corrupt(image, darker, constant(1, 1.0)).min() == 0
  image = -image  # of scans that are not scaled to [0, 1], nothing is cut off at rest
  unchanged = disentangled_lesions.corrupt(image, darker, constant(1, 0.0))
  np.testing.assert_array_equal(unchanged, image)


def test_shape_texture_and_intensity_are_independent(key):
  """Images 0.6 and 1.0 by turns: |texture| / m is 0.4 of the share of the other one."""
  size = 600
  level = 0.6 + 0.4 * (jnp.arange(size) % 2)
  image = jnp.broadcast_to(level.reshape(-1, 1, 1, 1), (size, 8, 8, 1))
  anomaly = jax.jit(
    lambda key: disentangled_lesions.draw(
      key, image, jnp.ones_like(image), ('patch',), ('shift',), 0.7
    )
  )(key)
  weight = anomaly.shape.sum((1, 2, 3))
  texture = np.abs(anomaly.texture).sum((1, 2, 3)) / weight / 0.4
  intensity = anomaly.intensity.sum((1, 2, 3)) / weight
  measures = np.stack([weight, texture, intensity])
  apart = np.corrcoef(measures) - np.eye(3)
  assert np.abs(apart).max() < 4 / np.sqrt(size)
  drawn = texture > 0, intensity != 0
  both = (drawn[0] & drawn[1]).mean()
  for share, expected in [*((d.mean(), 0.7) for d in drawn), (both, 0.49)]:
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / size)
  assert texture.max() <= 1 + 1e-5 and texture[texture > 0].min() >= 0.4 - 1e-5


def test_schedules_are_independent_powers_of_the_time(key):
  time = jnp.full(4000, 0.5)
  drawn = np.stack(disentangled_lesions.degrees(key, time, 2.0))
  exponents = np.log2(np.log(drawn) / np.log(0.5))  # uniform in [-1, 1]
  assert np.abs(exponents).max() <= 1 + 1e-5
  np.testing.assert_allclose(exponents.mean(1), 0, atol=4 * np.sqrt(1 / 3 / 4000))
  np.testing.assert_allclose(exponents.var(1), 1 / 3, atol=0.03)
  assert np.abs(np.corrcoef(exponents) - np.eye(3)).max() < 4 / np.sqrt(4000)
  ends = jnp.array([0.0, 1.0])
  for degree in disentangled_lesions.degrees(key, ends, 3.0):
    np.testing.assert_array_equal(degree, ends)
  for degree in disentangled_lesions.degrees(key, time[:3], 1.0):
    np.testing.assert_allclose(degree, 0.5)


@pytest.mark.parametrize('polarity, sign', [('bright', 1), ('dark', -1)])
def test_both_components_have_the_polarity(polarity, sign, key):
  image, mask = batch((16, 16), 8)
  anomaly = jax.jit(
    lambda key: disentangled_lesions.draw(key, image, mask, polarity=polarity)
  )(key)
  for change in anomaly[1:]:
    assert (sign * change).min() >= -1e-6 and (sign * change).max() > 0.01


@pytest.mark.parametrize(
  'options, message',
  [
    (((), ('shift',), 1, 1), 'm: number of textures is 0; allowed is a whole number'),
    ((('patch',), (), 1, 1), 'm: number of intensities is 0; allowed is'),
    ((('swirl',), ('shift',), 1, 1), "m: textures: unknown painter 'swirl'; there are"),
    ((('patch',), ('mixture',), 1, 1), "m: intensities: unknown painter 'mixture'"),
    ((('patch',), ('shift',), 1.5, 1), 'm: share is 1.5; allowed is a number from 0'),
    ((('patch',), ('shift',), 1, 0.5), 'm: spread is 0.5; allowed is a number of 1'),
  ],
)
def test_wrong_options_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    disentangled_lesions.check_options('m', **dict(zip(CHECK, options, strict=True)))
