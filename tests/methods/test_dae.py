import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from uad_jax.methods import dae
from uad_jax.registration import flow
from uad_jax.registration.warp import warp
from uad_jax.update import init_state, make_update

TINY = dict(widths=(4, 6), taps=1, deformer_features=4, squarings=3, window=5)


def batch_of(shape, number=2, seed=0):
  rng = np.random.default_rng(seed)
  return {
    'image': rng.uniform(size=(number, *shape, 1)).astype('float32'),
    'weight': np.ones(number, 'float32'),
  }


def test_the_published_number_of_parameters():
  method = dae.make()
  params, stats = jax.eval_shape(method.init, jax.random.key(0), batch_of((128, 128)))
  count = sum(x.size for x in jax.tree.leaves(params))
  # Counted from the published configuration at 128 x 128 (convolutions and the affine
  # parameters of the normalisation).
  assert count == 3_854_755
  assert set(params) == set(stats) == {'encoder', 'decoder', 'deformer'}


@pytest.mark.parametrize('shape', [(16, 8), (8, 8, 8)])
def test_inference(shape, key):
  method, batch = dae.make(shape, **TINY), batch_of(shape)
  params, stats = jax.jit(method.init)(key, batch)
  outputs = jax.jit(method.infer)(params, stats, batch, key)
  d = len(shape)
  assert outputs['velocity'].shape == outputs['displacement'].shape == (2, *shape, d)
  assert outputs['latent'].shape == (2, *(n // 4 for n in shape), 6)
  np.testing.assert_allclose(
    outputs['displacement'], flow.integrate(outputs['velocity'], 3), atol=1e-6
  )
  np.testing.assert_allclose(
    outputs['reconstruction'],
    warp(outputs['prior'], outputs['displacement']),
    atol=1e-6,
  )


@pytest.mark.slow
def test_training_lowers_the_loss_and_moves_all_networks(key):
  shape = (16, 16)
  method, batch = dae.make(shape, **TINY, steps=10, warm_up=0.0), batch_of(shape)
  tx = {'autoencoder': optax.adam(1e-2)}
  state = jax.jit(lambda k, b: init_state(method, tx, k, b))(key, batch)
  before = jax.device_get(state)
  update = make_update(method, tx, (10,))(('autoencoder',))
  losses = []
  for _ in range(10):
    state, metrics = update(state, {'train': batch}, key)
    losses.append(metrics['autoencoder/loss'])
  assert losses[-1] < losses[0]
  for part in ('params', 'stats'):
    for name in ('encoder', 'decoder', 'deformer'):
      old, new = (getattr(s, part)[name] for s in (before, jax.device_get(state)))
      moved = jax.tree.map(lambda a, b: not np.array_equal(a, b), old, new)
      assert any(jax.tree.leaves(moved)), (part, name)


def loss_at(step, key, batch=None, **options):
  shape = (16, 8)
  method = dae.make(shape, **TINY, steps=100, **options)
  params, stats = jax.jit(method.init)(key, batch_of(shape))
  objective = method.objectives['autoencoder'].loss
  # A field worth regularising.
  head = params['deformer']['velocity']
  head['kernel'] = jax.random.normal(key, head['kernel'].shape)
  value, (_, terms) = jax.jit(objective)(
    params, stats, batch or batch_of(shape), key, jnp.asarray(step)
  )
  return float(value), {k: float(v) for k, v in terms.items()}


def test_schedule(key):
  """Trains the auto-encoder alone, then also the field, whose stiffness rises."""
  for step, registered in ((0, 0), (32, 0), (34, 1), (90, 1)):
    value, terms = loss_at(step, key, warm_up=1 / 3, ramp=0.5, stiffness=2.0)
    beta = 2.0 * min(step / 50, 1.0) if registered else 0.0
    want = terms['mse'] + terms['structure']
    want += registered * (terms['ncc'] + beta * terms['roughness'])
    np.testing.assert_allclose(value, want, rtol=1e-5)
    assert terms['roughness'] > 1e-3


def test_padding_has_no_influence(key):
  whole = batch_of((16, 8), 2)
  odd = {
    'image': np.concatenate([whole['image'], 5 + 0 * whole['image'][:1]]),
    'weight': np.array([1, 1, 0], 'float32'),
  }
  a, b = (loss_at(90, key, batch) for batch in (whole, odd))
  np.testing.assert_allclose(a[0], b[0], rtol=1e-4)


def test_shape_must_be_divisible():
  with pytest.raises(ValueError, match=r'shape \(96, 100\) must be divisible by 128'):
    dae.make((96, 100))


def test_there_are_fewer_taps_than_widths():
  for taps in (0, 2):
    told = f'{taps} taps of 2 widths; allowed are 1 to 1'
    with pytest.raises(ValueError, match=told):
      dae.make((16, 16), widths=(4, 4), taps=taps)
  dae.make((16, 16), widths=(4, 4), taps=1)
