"""Introspective losses against their formulas, and what each network moves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.method_table import make_batch
from uad_jax.methods import soft_introvae
from uad_jax.methods.families import variational
from uad_jax.ops import losses

SHAPE = (16, 16)
TINY = dict(widths=(8, 8), latent=4)
SETTINGS = dict(beta_rec=0.7, beta_kl=0.9, beta_neg=3.0, gamma=0.2)


def parts(params, batch, key):
  """Errors and divergences of scans, reconstructions and generated images, anew."""
  nets = variational.study(SHAPE, 1, **TINY, dropout=0.0)
  keys, mask = jax.random.split(key, 4), batch['mask']

  def code(image, draw):
    mean, log_variance = nets.encode(params, image, None)
    kl = 0.5 * (jnp.exp(log_variance) + mean**2 - 1 - log_variance).sum(-1)
    noise = jax.random.normal(draw, mean.shape)
    return mean + jnp.exp(log_variance / 2) * noise, kl

  def decode(z):
    return nets.decode(params, z, batch['position'], None)[0] * mask

  z, kl = code(batch['image'], keys[0])
  rec, fake = decode(z), decode(jax.random.normal(keys[1], z.shape))
  found = {'x': (((batch['image'] - rec) ** 2 * mask).sum((1, 2, 3)), kl)}
  for name, image, draw in (('rec', rec, keys[2]), ('fake', fake, keys[3])):
    z, kl = code(image, draw)
    found[name] = ((image - decode(z)) ** 2 * mask).sum((1, 2, 3)), kl
  return found


def test_losses_are_those_of_the_paper(key):
  batch = make_batch(SHAPE)
  method = soft_introvae.make(SHAPE, **TINY, **SETTINGS)
  params, stats = jax.jit(method.init)(key, batch)
  found = jax.jit(parts)(params, batch, key)
  s, weight = 1 / 256, np.asarray(batch['weight'])

  def mean(value):
    return float((np.asarray(value, np.float64) * weight).sum() / weight.sum())

  error, kl = found['x']
  encoder = s * (0.7 * error + 0.9 * kl)
  decoder = s * 0.7 * error
  for name in ('rec', 'fake'):
    again, divergence = found[name]
    encoder += 0.25 * np.exp(-2 * s * (0.7 * again + 3.0 * divergence))
    decoder += s * (0.45 * divergence + 0.1 * 0.7 * again)
  for name, expected in (('encoder', encoder), ('generator', decoder)):
    loss = jax.jit(method.objectives[name].loss)
    value, (_, metrics) = loss(params, stats, batch, key, 0)
    assert float(value) == pytest.approx(mean(expected), rel=1e-4), name
  gap = found['fake'][1] - kl
  value, (_, metrics) = method.objectives['encoder'].loss(params, stats, batch, key, 0)
  assert float(metrics['gap']) == pytest.approx(mean(gap), rel=1e-3, abs=1e-4)


def test_the_embedding_loss_vanishes_for_equal_images_and_is_added(key):
  batch = make_batch(SHAPE)
  values = []
  for weight in (0.0, 1.0):
    method = soft_introvae.make(SHAPE, **TINY, **SETTINGS, embedding=weight)
    params, stats = jax.jit(method.init)(key, batch)
    loss = jax.jit(method.objectives['generator'].loss)
    values.append(float(loss(params, stats, batch, key, 0)[0]))
  nets = variational.study(SHAPE, 1, **TINY, dropout=0.0)
  mean, log_variance = nets.encode(params, batch['image'], None)
  z = variational.sample(jax.random.split(key, 4)[0], mean, log_variance)
  rec = nets.decode(params, z, batch['position'], None)[0] * batch['mask']
  a, b = (np.float64(nets.features(params, x)) for x in (batch['image'], rec))
  norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
  apart = 0.5 * ((a - b) ** 2).mean(-1) + 1 - (a * b).sum(-1) / np.maximum(norms, 1e-8)
  expected = losses.example_mean(jnp.float32(apart.mean((1, 2))), batch['weight'])
  assert values[1] - values[0] == pytest.approx(float(expected), rel=1e-3)


@pytest.mark.parametrize('objective', ['vae', 'encoder', 'generator'])
def test_the_background_of_a_scan_tells_nothing(objective, key):
  batch = make_batch(SHAPE)
  grey = batch['image'] - 3.5 * (1 - batch['mask'])
  method = soft_introvae.make(SHAPE, **TINY, **SETTINGS, embedding=1.0)
  params, stats = jax.jit(method.init)(key, batch)
  loss = jax.jit(jax.value_and_grad(method.objectives[objective].loss, has_aux=True))
  black, shifted = (
    loss(params, stats, {**batch, 'image': image}, key, 0)
    for image in (batch['image'] * batch['mask'], grey)
  )
  assert float(black[0][0]) == pytest.approx(float(shifted[0][0]), rel=1e-5)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(black[1]))
  outputs = [
    method.infer(params, stats, {**batch, 'image': image}, key)['reconstruction']
    for image in (batch['image'] * batch['mask'], grey)
  ]
  np.testing.assert_allclose(*outputs, atol=1e-6)


def test_features_that_are_all_zero_have_finite_gradients(key):
  batch = make_batch(SHAPE)
  batch['image'] = jnp.zeros_like(batch['image'])
  method = soft_introvae.make(SHAPE, **TINY, **SETTINGS, embedding=1.0)
  params, stats = jax.jit(method.init)(key, batch)
  for name in ('encoder', 'generator'):
    loss = jax.grad(method.objectives[name].loss, has_aux=True)
    gradient, _ = jax.jit(loss)(params, stats, batch, key, 0)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient)), name


@pytest.mark.parametrize('name', ['beta_rec', 'beta_kl', 'beta_neg'])
def test_a_weight_that_is_not_positive_is_refused(name):
  with pytest.raises(ValueError, match=f'soft_introvae: {name} is 0.0; allowed is'):
    soft_introvae.make(SHAPE, **TINY, **{name: 0.0})
