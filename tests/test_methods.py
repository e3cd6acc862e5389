"""One table over every method: a method without a row fails."""

import functools
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import uad_jax.methods
from uad_jax import checkpoint
from uad_jax.method import State, due, init_state, make_update
from uad_jax.registry import named

FILES = sorted(module.name for module in pkgutil.iter_modules(uad_jax.methods.__path__))

ROWS = {
  # name: (shape, options, golden parameter count)
  'latent_diffusion': (
    (16, 16),
    dict(
      widths=(4, 4),
      units=1,
      codes=6,
      size=2,
      unet_widths=(4, 8),
      blocks=1,
      heads=2,
      looks=(400, 600, 2),
      hops=3,
    ),
    14453,
  ),  # fmt: skip
  'cold_diffusion': ((16, 16), dict(widths=(4, 8), blocks=1, steps=3), 4921),
  'vqvae_transformer': (
    (16, 16),
    dict(widths=(4, 8), units=1, codes=6, size=3, width=8, depth=1, heads=2, rasters=2),
    4514,
  ),
  'ae': ((16, 16), dict(widths=(8, 8), latent=2), 3052),
  'aae': (
    (16, 16),
    dict(widths=(8, 8), latent=2, critic=(8, 8), critic_steps=2),
    5253,
  ),
  'atlas': ((16, 16), dict(bins=3), 0),
  'cae': ((16, 16), dict(widths=(8, 8), latent=2), 5148),
  'caae': (
    (16, 16),
    dict(widths=(8, 8), latent=2, critic=(8, 8), critic_steps=2),
    5988,
  ),
  'fanogan': (
    (16, 16),
    dict(widths=(8, 8), latent=2, critic=(4, 4), critic_steps=2),
    6493,
  ),
  'anovaegan': (
    (16, 16),
    dict(widths=(8, 8), latent=2, critic=(4, 4), critic_steps=2),
    6527,
  ),
  'smoothing': ((16, 16), dict(sigma=1.0), 0),
  'threshold': ((16, 16), {}, 0),
  'vae': ((16, 16), dict(widths=(8, 8), latent=2), 3070),
  'cevae': ((16, 16), dict(widths=(8, 8), latent=2), 5182),
  'gmvae': ((16, 16), dict(widths=(8, 8), latent=2, clusters=3, hidden=4), 5284),
  'skip_ae': ((16, 16), dict(widths=(8, 8), latent=2), 6641),
  'scale_space_ae': (
    (16, 16),
    dict(levels=2, widths=(8,), band_widths=(8, 8), latent=2),
    6973,
  ),
  'ddpm': (
    (16, 16),
    dict(widths=(8, 8), attention=8, start=30, hops=3, samples=2, noise='simplex'),
    20633,
  ),
  'denoising_ae': ((16, 16), dict(widths=(8, 8), blocks=2, cells=4), 4289),
  'dae': (
    (16, 16),
    dict(widths=(4, 4, 8), taps=2, deformer_features=4, steps=10, warm_up=0.0),
    2539,
  ),
  'dae_unc': (
    (16, 16),
    dict(
      widths=(8, 8),
      latent=2,
      deformer_widths=(4, 4),
      gate_widths=(4, 8),
      window=5,
      bins=3,
    ),
    5829,
  ),
}
VOLUMES = (
  'ae', 'vae', 'dae', 'dae_unc', 'atlas', 'smoothing', 'threshold',
  'vqvae_transformer', 'cold_diffusion', 'latent_diffusion',
)  # fmt: skip
VOLUMES += ('aae', 'cae', 'caae', 'fanogan', 'anovaegan')
VOLUMES += ('ddpm', 'denoising_ae')
VOLUMES += ('cevae', 'gmvae', 'skip_ae', 'scale_space_ae')
ADVERSARIAL = ('critic', 'generator')
"""Objectives that move against each other: together one of their losses may rise, but
each is to fall while all else rests."""


def make_batch(shape, size=4, seed=0):
  rng = np.random.default_rng(seed)
  grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing='ij'))
  mask = ((grid**2).sum(0) < 0.8).astype(np.float32)
  wave = rng.uniform(1, 3, (size, *[1] * len(shape)))
  image = (0.6 + 0.3 * np.sin(wave * grid[0][None]) * np.cos(wave)) * mask
  image = image + 0.02 * rng.standard_normal(image.shape) * mask
  return {
    'image': image[..., None].astype(np.float32),
    'mask': np.broadcast_to(mask[None, ..., None], (size, *shape, 1)).copy(),
    'position': np.linspace(0, 1, size, dtype=np.float32),
    'weight': np.ones(size, np.float32),
  }


@functools.cache
def trained(name):
  """The method after ten steps a stage on one batch, and the history of that."""
  shape, options, _ = ROWS[name]
  method = named('methods', name)(shape, channels=1, **options)
  batch = make_batch(shape)
  key = jax.random.key(7)
  tx = {n: optax.adam(3e-3) for n, o in method.objectives.items() if o.trains}
  stages = 1 + max((o.stage for o in method.objectives.values()), default=-1)
  ends = tuple(10 * (i + 1) for i in range(stages))
  first = jax.jit(lambda key: init_state(method, tx, key, batch))(key)
  first = jax.device_get(first)
  state, history = jax.device_put(first), []
  update = make_update(method, tx, ends)
  for step in range(10 * stages):
    names = due(method.objectives, ends, step)
    splits = {method.objectives[n].split: batch for n in names}
    # The same key at each step: the loss of one batch is to fall.
    before = jax.device_get(state)
    state, metrics = update(names)(state, splits, key)
    history.append((names, before, jax.device_get(state), jax.device_get(metrics)))
  infer = jax.jit(method.infer)
  return method, batch, first, jax.device_get(state), history, infer


def losses_alone(name, objective):
  """The losses of one objective over ten steps in which nothing else moves."""
  method, batch, first, _, _, _ = trained(name)
  method = method._replace(objectives={objective: method.objectives[objective]})
  update = make_update(method, {objective: optax.adam(3e-3)}, (10,))((objective,))
  state, losses = jax.device_put(first), []
  for _ in range(10):
    state, metrics = update(state, {'train': batch}, jax.random.key(7))
    losses.append(float(metrics[f'{objective}/loss']))
  return losses


def test_every_method_has_a_row():
  assert FILES == sorted(ROWS)


@pytest.mark.parametrize('name', ROWS)
def test_parameter_count(name):
  _, _, first, _, _, _ = trained(name)
  count = sum(x.size for x in jax.tree.leaves(first.params))
  golden = ROWS[name][2]
  assert count == golden, f'{name} has {count} parameters'


@pytest.mark.parametrize('name', ROWS)
def test_training_lowers_each_loss(name):
  method, _, _, _, history, _ = trained(name)
  for objective, value in method.objectives.items():
    if not value.trains:
      continue
    losses = [
      m[f'{objective}/loss'] for names, _, _, m in history if objective in names
    ]
    assert np.isfinite(losses).all()
    if objective in ADVERSARIAL:
      losses = losses_alone(name, objective)
    assert np.mean(losses[-2:]) < losses[0], (objective, losses)


@pytest.mark.parametrize('name', ROWS)
def test_an_update_changes_what_it_trains_and_nothing_else(name):
  method, _, _, _, history, _ = trained(name)
  for names, before, after, _ in history:
    moving = {net for n in names for net in method.objectives[n].trains}
    for net in before.params:
      same = all(
        np.array_equal(a, b)
        for a, b in zip(
          jax.tree.leaves(before.params[net]),
          jax.tree.leaves(after.params[net]),
          strict=True,
        )
      )
      assert same == (net not in moving), (names, net)


@pytest.mark.parametrize('name', ROWS)
def test_outputs_have_the_image_grid_are_finite_and_deterministic(name):
  _, batch, _, state, _, infer = trained(name)
  key = jax.random.key(1)
  outputs = infer(state.params, state.stats, batch, key)
  again = infer(state.params, state.stats, batch, key)
  for output, value in outputs.items():
    assert value.dtype == jnp.float32 and value.shape[0] == 4, output
    assert jnp.isfinite(value).all(), output
    np.testing.assert_array_equal(value, again[output])
  for output in ('reconstruction', 'prior', 'gate', 'posterior'):
    if output in outputs:
      assert outputs[output].shape == batch['image'].shape
  if 'displacement' in outputs:
    assert outputs['displacement'].shape == (*batch['image'].shape[:-1], 2)


@pytest.mark.parametrize('name', ROWS)
def test_inference_never_reads_the_lesion(name):
  _, batch, _, state, _, infer = trained(name)
  key = jax.random.key(1)
  poisoned = {**batch, 'lesion': np.full_like(batch['mask'], np.nan)}
  expected = infer(state.params, state.stats, batch, key)
  found = infer(state.params, state.stats, poisoned, key)
  jax.tree.map(np.testing.assert_array_equal, expected, found)


@pytest.mark.parametrize('name', ROWS)
def test_the_state_survives_a_checkpoint(name, tmp_path):
  _, _, first, state, _, _ = trained(name)
  manager = checkpoint.manager(tmp_path)
  checkpoint.save(manager, 3, jax.device_put(state), {'train': {'next_index': 3}})
  step, found, streams = checkpoint.restore(manager, jax.device_put(first))
  assert step == 3 and streams == {'train': {'next_index': 3}}
  assert isinstance(found, State)
  jax.tree.map(np.testing.assert_array_equal, found, state)


@pytest.mark.parametrize('name', VOLUMES)
def test_volumes_by_the_shape_alone(name):
  shape = (16, 16, 16)
  method = named('methods', name)(shape, channels=1, **ROWS[name][1])
  batch = make_batch(shape, size=1)
  key = jax.random.key(0)

  def shapes(key):
    params, stats = method.init(key, batch)
    losses = {
      n: o.loss(params, stats, batch, key, jnp.array(0))[0]
      for n, o in method.objectives.items()
    }
    return losses, method.infer(params, stats, batch, key)

  losses, outputs = jax.eval_shape(shapes, key)
  assert all(loss.shape == () for loss in losses.values())
  if 'reconstruction' in outputs:
    assert outputs['reconstruction'].shape == batch['image'].shape
