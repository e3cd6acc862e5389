"""Restoration under priors whose best image is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uad_jax.scores.restoration import choose_weight, make, restore, total_variation

SHAPE = (2, 12, 12, 1)
SMALL = dict(steps=200, rates=(0.1, 0.05), switch=100)


def gaussian(mean, deviation=1.0):
  """An inference whose ELBO is log N(x; mean, deviation^2) without the constant."""

  def infer(batch, key):
    z = (batch['image'] - mean) / deviation
    return {
      'elbo': -0.5 * (z**2).sum((1, 2, 3)),
      'reconstruction': mean + 0 * batch['image'],
    }

  return infer


def batch_of(key):
  mask = jnp.zeros(SHAPE).at[:, 2:-2, 2:-2].set(1.0)
  image = jax.random.uniform(key, SHAPE) * mask
  return {'image': image, 'mask': mask, 'weight': jnp.ones(2)}


@pytest.mark.parametrize('shape', [(2, 7, 5, 2), (1, 4, 5, 6, 1)])
def test_total_variation_is_that_of_a_loop(shape, key):
  x = np.asarray(jax.random.normal(key, shape), np.float64)
  want = np.zeros(len(x))
  for axis in range(1, x.ndim - 1):  # oracle: numpy, one difference after the other
    lines = np.moveaxis(x, axis, 1)
    for i in range(1, lines.shape[1]):
      want += np.abs(lines[:, i] - lines[:, i - 1]).reshape(len(x), -1).sum(1)
  np.testing.assert_allclose(total_variation(jnp.float32(x)), want, rtol=1e-5)


@pytest.mark.parametrize('variant', ['you2019', 'baur2021'])
def test_without_total_variation_it_reaches_the_mean_of_the_prior(variant, key):
  batch = batch_of(key)
  options = dict(weight=0.0, variant=variant, **SMALL)
  found = restore(gaussian(0.3), batch, key, **options)
  mask = batch['mask']
  # Only inside the brain, where alone it may move.
  np.testing.assert_allclose(found, 0.3 * mask + (1 - mask) * batch['image'], atol=1e-4)
  anomaly = make(**options)(gaussian(0.3), batch, key)
  np.testing.assert_allclose(anomaly, jnp.abs(batch['image'] - 0.3) * mask, atol=1e-4)


def test_the_steps_are_those_of_the_closed_form(key):
  """x_k - m = (x_0 - m) prod(1 - rate_k / s^2): both rates, and where they change."""
  batch, mean, s = batch_of(key), 0.3, 2.0
  found = restore(
    gaussian(mean, s), batch, key, 0.0, steps=7, rates=(0.4, 0.1), switch=3
  )
  shrink = (1 - 0.4 / s**2) ** 3 * (1 - 0.1 / s**2) ** 4
  want = batch['image'] + batch['mask'] * (shrink - 1) * (batch['image'] - mean)
  np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)


def test_constants_of_z_scored_intensities_serve_those_of_another_scale(key):
  """All of the ascent is the same up to the scale s if the KL weighs s^2."""
  batch, s = batch_of(key), 0.25

  def squared(scale):
    def infer(batch, key):
      rec = (batch['image'] ** 2).sum((1, 2, 3))
      kl = (jnp.cos(3 * batch['image'] / scale)).sum((1, 2, 3))
      return {'elbo': -rec - kl, 'kl': kl, 'reconstruction': batch['image']}

    return infer

  options = dict(steps=9, rates=(0.05, 0.02), switch=4)
  want = restore(squared(1.0), batch, key, 0.6, clip=2.0, **options)
  scaled = {**batch, 'image': s * batch['image']}
  found = restore(squared(s), scaled, key, 0.6 * s, clip=2.0 * s, prior=s**2, **options)
  assert np.abs(want - batch['image']).max() > 0.1
  np.testing.assert_allclose(found, s * want, atol=1e-5)


def test_a_large_weight_keeps_the_scan(key):
  batch = batch_of(key)
  centre = batch['image'] + batch['mask'] * jnp.where(
    jax.random.bernoulli(key, 0.5, SHAPE), 0.4, -0.4
  )
  options = dict(steps=400, rates=(1e-3, 1e-4), switch=300)
  free = make(weight=0.0, **options)(gaussian(centre), batch, key)
  kept = make(weight=5.0, **options)(gaussian(centre), batch, key)
  assert kept.max() < 0.02 < 0.1 < free.max()


def test_the_gradient_is_clipped(key):
  batch = batch_of(key)
  found = restore(
    gaussian(9.0, 1e-2), batch, key, 0.0, steps=1, rates=(1e-2, 0.0), clip=2.0
  )
  np.testing.assert_allclose(found - batch['image'], 0.02 * batch['mask'], atol=1e-6)


def test_the_variants_differ_in_what_should_be_smooth(key):
  """'baur2021' pulls x to a constant from the reconstruction, 'you2019' to y."""
  batch, options = batch_of(key), dict(weight=1.0, **SMALL)
  flat = jnp.where(batch['mask'] > 0, 0.5, 0.0)

  def infer(batch, key):
    return {'elbo': 0 * batch['image'].sum((1, 2, 3)), 'reconstruction': flat}

  you = make(variant='you2019', **options)(infer, batch, key)
  baur = make(variant='baur2021', **options)(infer, batch, key)
  np.testing.assert_allclose(you, 0.0, atol=1e-6)
  assert baur.max() > 0.2


def test_the_sign_of_a_change_is_kept(key):
  batch = batch_of(key)
  options = dict(steps=20, rates=(0.05, 0.05), clip=0.0, weight=0.0)
  absolute, bright, dark = (
    make(**options, sign=sign)(gaussian(0.5), batch, key)
    for sign in ('absolute', 'bright', 'dark')
  )
  np.testing.assert_allclose(bright, -dark)
  np.testing.assert_allclose(absolute, jnp.abs(bright))
  assert bright.min() < 0 < bright.max()
  with pytest.raises(ValueError, match="restoration: unknown sign 'up'; there are abs"):
    make(sign='up')


def test_an_unknown_variant_is_told():
  with pytest.raises(ValueError, match="unknown variant 'zhou'; there are you2019"):
    make(variant='zhou')


def test_the_weight_is_the_one_that_changes_healthy_scans_least(key):
  batch = batch_of(key)
  options = dict(steps=60, rates=(5e-3, 5e-3), switch=0)
  prior = gaussian(batch['image'] + 0.5 * batch['mask'])
  # Of a constant push the weight 0 changes much, 40 shakes, 1 holds the border.
  best, distances = choose_weight(
    prior, [batch, batch], key, (0.0, 1.0, 40.0), **options
  )
  assert best == 1.0 and list(distances) == [0.0, 1.0, 40.0]
  for weight, distance in distances.items():
    anomaly = make(weight=weight, **options)(prior, batch, key)
    want = anomaly.sum() / batch['mask'].sum()
    np.testing.assert_allclose(distance, want, rtol=1e-4)


def test_padding_does_not_choose_the_weight(key):
  batch = batch_of(key)
  padded = {**batch, 'image': batch['image'].at[1].mul(50.0)}
  padded['weight'] = jnp.array([1.0, 0.0])
  alone = {name: value[:1] for name, value in batch.items()}
  options = dict(weights=(0.0, 1.0), steps=3)
  _, a = choose_weight(gaussian(0.3), [padded], key, **options)
  _, b = choose_weight(gaussian(0.3), [alone], key, **options)
  np.testing.assert_allclose(list(a.values()), list(b.values()), rtol=1e-5)
  with pytest.raises(ValueError, match='at least one batch'):
    choose_weight(gaussian(0.3), [], key)
