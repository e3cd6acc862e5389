"""Every method at a small size, and trained for a few steps once a process."""

import functools
from collections import Counter

import jax
import numpy as np
import optax

from uad_jax.registry import named
from uad_jax.update import due, init_state, make_update

ADAPTATIONS = ('augment', 'ema', 'randomise', 'wrm')
"""Adaptations for the training; tests/few_shot has those to another scanner."""

JUDGING = ('detector', 'padim', 'perceptual')
"""Adaptations that use features; they are tested in files of their own."""

DRAWING = ('ensemble', 'laplace', 'swag')
"""Adaptations that infer with several sets of parameters; they are tested in
tests/adapt/test_parameter_draws.py."""

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
  'disyre': (
    (16, 16),
    dict(widths=(8, 8), attention=8, starts=(0.5, 1.0), steps=(1, 2)),
    20889,
  ),
  'rectified_flow': ((16, 16), dict(widths=(8, 8), attention=8, steps=2), 20889),
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
  'deep_svdd': ((16, 16), dict(widths=(4, 4)), 760),
  'gpnd': (
    (16, 16),
    dict(
      widths=(8, 8), latent=2, image_critic=(4, 4), latent_critic=(8, 8), weight=500.0
    ),
    5926,
  ),
  'ocgan': (
    (16, 16),
    dict(
      widths=(8, 8),
      latent=2,
      latent_critic=(8, 8),
      image_critic=(4, 4),
      classifier=(4, 4),
      steps=2,
      after=3,
    ),
    6599,
  ),
  'dagmm': (
    (16, 16),
    dict(widths=(8, 8), latent=2, components=2, estimation=(4,)),
    2145,
  ),
  'soft_introvae': ((16, 16), dict(widths=(8, 8), latent=4), 5282),
  'lsa': (
    (16, 16),
    dict(widths=(8, 8), latent=2, code='maps', estimator=(4,), bins=5),
    3498,
  ),
  'glow': (
    (16, 16),
    dict(levels=2, steps=2, hidden=4, general='rearranged'),
    3288,
  ),
  'feature_network': ((16, 16), dict(widths=(4, 8), cell=4), 2377),
  'fae': ((16, 16), dict(feature_widths=(4, 8), cell=4, widths=(4, 4), window=3), 3349),
  'reverse_distillation': (
    (16, 16),
    dict(feature_widths=(4, 8), cell=4, widths=(4, 4)),
    3661,
  ),
  'feature_transformer': (
    (16, 16),
    dict(feature_widths=(4, 8), cell=4, width=8, depth=2, heads=2),
    7069,
  ),
  'patch_detector': ((16, 16), dict(detector='gaussian', bank=64), 0),
  'moment_registration': (
    (16, 16),
    dict(bins=3, rounds=1, steps=(2, 1), refinement=(1,), reweightings=1, solves=2),
    0,
  ),
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
  'hypermorph': (
    (16, 16),
    dict(bins=3, encoder=(4, 4), decoder=(4, 4, 4), hidden=(4, 3), smooth=0.0),
    3567,
  ),
  'learned_template': (
    (16, 16),
    dict(
      bins=3,
      attribute='height',
      template=(4, 4),
      encoder=(4, 4),
      decoder=(4, 4, 4),
      window=5,
    ),
    1839,
  ),
  'voxelmorph': (
    (16, 16),
    dict(bins=3, encoder=(4, 4), decoder=(4, 4, 4, 4), field='velocity', squarings=3),
    1106,
  ),
  'voxelmorph_diff': (
    (16, 16),
    dict(bins=3, encoder=(4, 4), decoder=(4, 4, 4), squarings=3, samples=2),
    960,
  ),
  'dae_unc': (
    (16, 16),
    dict(
      widths=(8, 8),
      latent=2,
      deformer_widths=(4, 4),
      gate_widths=(4, 8),
      bins=3,
    ),
    5829,
  ),
}


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


KEY = jax.random.key(7)
TRACED = {}  # how often `trained` let jax trace each objective, by method


def counted(method):
  """The method with objectives that count their traces, and the counts."""
  counts = Counter()

  def counting(label, loss):
    def traced(*arguments):
      counts[label] += 1
      return loss(*arguments)

    return traced

  objectives = {
    label: objective._replace(loss=counting(label, objective.loss))
    for label, objective in method.objectives.items()
  }
  return method._replace(objectives=objectives), counts


@functools.cache
def initial(name):
  """The method, a batch, the state before any step, and the inference, compiled."""
  shape, options, _ = ROWS[name]
  method = named('methods', name)(shape, channels=1, **options)
  batch, tx = make_batch(shape), optimisers(method)
  first = jax.jit(lambda key: init_state(method, tx, key, batch))(KEY)
  return method, batch, jax.device_get(first), jax.jit(method.infer)


def optimisers(method):
  return {n: optax.adam(3e-3) for n, o in method.objectives.items() if o.trains}


@functools.cache
def trained(name):
  """The method after ten steps a stage on one batch, and the history of that."""
  method, batch, first, infer = initial(name)
  method, counts = counted(method)
  stages = 1 + max((o.stage for o in method.objectives.values()), default=-1)
  ends = tuple(10 * (i + 1) for i in range(stages))
  state, history = jax.device_put(first), []
  update = make_update(method, optimisers(method), ends)
  for step in range(10 * stages):
    names, before = due(method.objectives, ends, step), jax.device_get(state)
    splits = {method.objectives[n].split: batch for n in names}
    # The same key at each step: the loss of one batch is to fall.
    state, metrics = update(names)(state, splits, KEY)
    history.append((names, before, jax.device_get(state), jax.device_get(metrics)))
  TRACED[name] = dict(counts)
  return method, batch, first, jax.device_get(state), history, infer
