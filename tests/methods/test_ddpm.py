"""Partial diffusion: its loss, the parts of a scan it keeps, and its options."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.method_table import ROWS, make_batch
from uad_jax.methods import ddpm
from uad_jax.nets.diffusion_unet import DiffusionUNet
from uad_jax.update import init_state, make_update

SHAPE, OPTIONS, _ = ROWS['ddpm']
QUICK = dict(widths=(8, 16), attention=0, start=200, furthest=400, hops=8)


@functools.cache
def learned():
  """Parameters after 300 steps on one kind of image."""
  method, batch = ddpm.make(SHAPE, **QUICK), make_batch(SHAPE, size=8)
  tx, key = {'noise': optax.adam(5e-3)}, jax.random.key(3)
  state = jax.jit(lambda key: init_state(method, tx, key, batch))(key)
  update = make_update(method, tx, (300,))(('noise',))
  losses = []
  for _ in range(300):
    state, metrics = update(state, {'train': batch}, key)
    losses.append(float(metrics['noise/loss']))
  return state.params, batch, losses


@functools.cache
def inference(**options):
  return jax.jit(ddpm.make(SHAPE, **{**QUICK, **options}).infer)


def reconstruct(batch, key, **options):
  return inference(**options)(learned()[0], {}, batch, key)['reconstruction']


@pytest.mark.slow
def test_the_noise_is_learned():
  _, _, losses = learned()
  assert abs(losses[0] - 1) < 0.2  # eps' starts near 0, and eps has variance 1
  assert np.mean(losses[-50:]) < 0.45


@pytest.mark.slow
def test_what_is_healthy_comes_back_and_a_mark_does_not(key):
  _, batch, _ = learned()
  mask = batch['mask']
  blob = np.zeros((8, *SHAPE, 1), np.float32)
  blob[:, 6:10, 6:10] = 0.4
  healthy = reconstruct(batch, key, samples=4)
  error = np.abs(healthy - batch['image']).sum() / mask.sum()
  assert error < 0.1
  marked = {**batch, 'image': batch['image'] + blob}
  found = reconstruct(marked, key, samples=4)
  anomaly = np.abs(found - marked['image'])
  assert anomaly[blob > 0].mean() > 2 * anomaly[(blob == 0) & (mask > 0)].mean()
  assert np.abs(found * (1 - mask)).max() == 0


@pytest.mark.slow
def test_the_background_is_never_noised(key):
  params, batch, _ = learned()
  method, mask, seen = ddpm.make(SHAPE, **QUICK), batch['mask'], []

  def watch(network, args, kwargs, context):
    if isinstance(context.module, DiffusionUNet) and context.method_name == '__call__':
      jax.debug.callback(lambda x: seen.append(np.asarray(x)), args[0])
    return network(*args, **kwargs)

  with nn.intercept_methods(watch):
    method.infer(params, {}, batch, key)['reconstruction'].block_until_ready()
    method.objectives['noise'].loss(params, {}, batch, key, 0)[0].block_until_ready()
  jax.effects_barrier()
  scaled = 2 * batch['image'] / 1.2 - 1
  assert len(seen) == QUICK['hops'] + 1
  for x in seen:
    np.testing.assert_allclose(x * (1 - mask), scaled * (1 - mask), atol=1e-5)
    assert np.abs((x - scaled) * mask).max() > 0.1


@pytest.mark.slow
def test_it_is_random_with_the_key_and_an_average_is_less_so(key):
  _, batch, _ = learned()
  keys = jax.random.split(key, 6)
  single = np.stack([reconstruct(batch, k) for k in keys[:4]])
  several = np.stack([reconstruct(batch, k, samples=8) for k in keys[:4]])
  inside = np.broadcast_to(batch['mask'] > 0, single[0].shape)
  spread, less = single.std(0)[inside].mean(), several.std(0)[inside].mean()
  assert 0 < less < 0.6 * spread


@pytest.mark.slow
def test_a_later_start_keeps_less_of_the_scan(key):
  _, batch, _ = learned()
  errors = [
    np.abs(reconstruct(batch, key, start=start, hops=4) - batch['image']).mean()
    for start in (5, 100, 400)
  ]
  assert errors == sorted(errors)


@pytest.mark.parametrize(
  'switch',
  [
    dict(noise='gaussian'),
    dict(schedule='cosine', hops=0),
    dict(position=True, attention=0),
    dict(blocks=2, heads=4),
  ],
)
def test_every_switch_gives_a_method_that_can_be_trained(switch):
  method = ddpm.make(SHAPE, **{**OPTIONS, **switch})
  batch, key = make_batch(SHAPE), jax.random.key(0)

  def shapes(key):
    params, stats = method.init(key, batch)
    value, _ = method.objectives['noise'].loss(params, stats, batch, key, 0)
    return value, method.infer(params, stats, batch, key)

  value, outputs = jax.eval_shape(shapes, key)
  assert value.shape == () and outputs['reconstruction'].shape == batch['image'].shape


@pytest.mark.parametrize('noise', ['gaussian', 'simplex'])
def test_padding_is_not_in_the_loss(noise, key):
  method = ddpm.make(SHAPE, **{**OPTIONS, 'noise': noise})
  batch = make_batch(SHAPE)
  batch['weight'] = np.array([1, 1, 1, 0], np.float32)
  params, stats = method.init(key, batch)
  # A head that is not at zero, so that the image matters.
  params['unet']['Head_0']['kernel'] += 0.1
  loss = jax.jit(method.objectives['noise'].loss)
  value, _ = loss(params, stats, batch, key, 0)
  padding, scan = batch['image'].copy(), batch['image'].copy()
  padding[-1], scan[0] = 7.0, 7.0
  for image, same in ((padding, True), (scan, False)):
    changed, _ = loss(params, stats, {**batch, 'image': image}, key, 0)
    assert bool(jnp.array_equal(changed, value)) == same


@pytest.mark.parametrize(
  'wrong, sentence',
  [
    (dict(noise='pink'), "ddpm: unknown noise 'pink'; there are gaussian, simplex"),
    (dict(start=900), 'start <= furthest <= steps is needed, not start 900'),
  ],
)
def test_what_cannot_be_is_told(wrong, sentence):
  with pytest.raises(ValueError, match=sentence):
    ddpm.make(SHAPE, **wrong)
