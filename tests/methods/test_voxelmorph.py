"""Registration networks: known translations, inverses, pairs and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.long_variants import all_but
from tests.registration.shifted_scans import SHAPE, shifted
from tests.registration.warped_blobs import blobs
from uad_jax.methods import voxelmorph, voxelmorph_diff
from uad_jax.methods.families import template_registration
from uad_jax.registration import flow
from uad_jax.registration.warp import warp
from uad_jax.update import init_state, make_update

TINY = dict(encoder=(8, 8), smooth=0.0)
WIDTHS = {voxelmorph: (8, 8, 8, 8), voxelmorph_diff: (8, 8, 8)}
CASES = {
  'displacement': (voxelmorph, dict(smoothness=0.001)),
  'velocity': (voxelmorph, dict(field='velocity', smoothness=0.001)),
  'both ways': (
    voxelmorph,
    dict(field='velocity', bidirectional=True, smoothness=0.001),
  ),
  'ncc': (voxelmorph, dict(similarity='ncc', window=7, smoothness=0.01)),
  'posterior': (voxelmorph_diff, dict(noise=0.02, precision=5.0)),
}


def trained(module, steps, **options):
  """The method after all its stages on scans that are shifted by -2 to 2 voxels."""
  options = {'decoder': WIDTHS[module], **TINY, **options}
  method = module.make(SHAPE, **options)
  batch, key = shifted(jnp.linspace(-2, 2, 8)), jax.random.key(0)
  tx = {'field': optax.adam(3e-3)}
  state = jax.jit(lambda k: init_state(method, tx, k, batch))(key)
  update = make_update(method, tx, (1, 1 + steps, 2 + steps))
  state, _ = update(('usual',))(state, {'train': batch}, key)
  for _ in range(steps):
    state, _ = update(('field',))(state, {'train': batch}, key)
  state, metrics = update(('registered',))(state, {'train': batch}, key)
  return method, state, metrics


@pytest.mark.parametrize('case', all_but(CASES, ('ncc',)))
def test_a_known_translation_is_recovered(case, optimised):
  module, options = CASES[case]
  method, state, metrics = trained(module, 150, **options)
  batch = shifted(jnp.array([-1.5, 1.5]))
  outputs = jax.jit(method.infer)(state.params, state.stats, batch, jax.random.key(1))
  # Where the blobs are, as flat places do not tell their displacement, and away from
  # the border, over which the shifts move tissue that no other scan shows.
  edges = jnp.linalg.norm(flow.gradient(batch['image'])[..., 0, :], axis=-1)
  weight = jnp.zeros_like(edges).at[:, 5:-5, 5:-5].set((edges**2)[:, 5:-5, 5:-5])
  weight = weight / weight.sum((1, 2), keepdims=True)
  found = (weight[..., None] * outputs['displacement']).sum((1, 2))
  np.testing.assert_allclose(found[:, 0], [1.5, -1.5], atol=0.4)
  np.testing.assert_allclose(found[:, 1], 0, atol=0.4)
  before, after = (
    float(jnp.abs(batch['image'] - outputs[name]).mean())
    for name in ('usual', 'reconstruction')
  )
  assert after < 0.5 * before
  # Registered scans differ less from their mean than scans do.
  spread = {
    name: float(jnp.exp(outputs[f'{name}_log_variance']).mean())
    for name in ('usual', 'prior')
  }
  assert spread['prior'] < 0.5 * spread['usual']
  assert metrics['registered/folded'] == 0
  assert 1 < metrics['registered/largest'] < 6


def rough(module, key, size=0.1, **options):
  """An untrained method with a random field, its parameters and a batch."""
  method = module.make(SHAPE, decoder=WIDTHS[module], **TINY, **options)
  batch = shifted(jnp.array([-1.0, 1.0]))
  params, stats = method.init(key, batch)
  name = 'field' if module is voxelmorph else 'mean'
  head = params['field'][name]
  head['kernel'] = size * jax.random.normal(key, head['kernel'].shape)
  return method, params, stats, batch


@pytest.mark.slow
def test_a_velocity_field_is_integrated_and_its_negative_inverts(key):
  method, params, stats, batch = rough(voxelmorph, key, 0.03, field='velocity')
  outputs = method.infer(params, stats, batch, key)
  v, u = outputs['velocity'], outputs['displacement']
  assert float(jnp.abs(u).max()) > 0.1
  np.testing.assert_allclose(u, flow.integrate(v), atol=1e-6)
  identity = flow.compose(u, flow.inverse(v))[:, 4:-4, 4:-4]
  assert float(jnp.abs(identity).max()) < 0.1 * float(jnp.abs(u).max())


def test_the_loss_is_that_of_the_paper(key):
  method, params, stats, batch = rough(voxelmorph, key, smoothness=0.3)
  _, (stats, _) = method.objectives['usual'].loss(params, stats, batch, key, 0)
  value, _ = method.objectives['field'].loss(params, stats, batch, key, 0)
  u = np.asarray(method.infer(params, stats, batch, key)['displacement'])
  mean = jnp.tile(batch['image'].mean(0, keepdims=True), (2, 1, 1, 1))
  data = ((batch['image'] - warp(mean, u)) ** 2).mean()
  # The sum over components and axes, averaged over edges, is four times the roughness.
  rough_sum = sum((np.diff(u, axis=axis) ** 2).sum(-1).mean() for axis in (1, 2))
  np.testing.assert_allclose(value, data + 0.3 * rough_sum / 4, rtol=1e-4)


def test_the_variance_of_the_displacement_is_that_of_the_draws(key):
  method, params, stats, batch = rough(voxelmorph_diff, key, samples=64)
  params['field']['log_variance']['bias'] += 2.0
  outputs = method.infer(params, stats, batch, key)
  assert outputs['velocity'].shape == (2, 12, 12, 2)
  assert outputs['displacement_variance'].shape == (2, *SHAPE, 1)
  # Independent normals of variance e^-8 on half the grid; interpolation to the full
  # grid doubles the voxels, keeps (3/4)^2 + (1/4)^2 of the variance along each axis,
  # and a small field is its own integral.
  params['field']['mean']['kernel'] *= 0
  small = method.infer(params, stats, batch, key)['displacement_variance']
  expected = 2 * np.exp(-8.0) * 2**2 * (10 / 16) ** 2
  assert abs(float(small[:, 2:-2, 2:-2].mean()) / expected - 1) < 0.1


def test_a_second_pass_registers_what_the_first_has_warped(key):
  method, params, stats, batch = rough(voxelmorph, key, 0.03)
  twice = voxelmorph.make(SHAPE, decoder=WIDTHS[voxelmorph], **TINY, passes=2)
  batch['moving'] = batch['image'][::-1]

  def displacement(method, moving):
    outputs = method.infer(params, stats, batch | {'moving': moving}, key)
    return outputs['displacement']

  first = displacement(method, batch['moving'])
  second = displacement(method, warp(batch['moving'], first))
  both = displacement(twice, batch['moving'])
  np.testing.assert_allclose(both, flow.compose(first, second), atol=1e-5)
  assert float(jnp.abs(both - first).max()) > 0.1


def test_scans_are_paired_with_those_of_the_next_height():
  image = jnp.arange(4.0).reshape(4, 1, 1, 1)
  batch = {
    'image': image,
    'position': jnp.array([0.6, 0.0, 0.9, 0.2]),
    'weight': jnp.array([1.0, 1.0, 0.0, 1.0]),
  }
  pair = template_registration.pairs_of_scans(batch)
  assert pair.fixed.ravel().tolist() == [1, 3, 0, 2]
  assert pair.moving.ravel().tolist() == [3, 0, 2, 0]
  assert pair.weight.tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize('module', WIDTHS)
def test_pairs_of_scans_train_too_and_padding_does_not_count(module, key):
  method, params, stats, batch = rough(module, key, pairing='scans')
  padded = {name: jnp.concatenate([x, x[:1]]) for name, x in batch.items()}
  padded['weight'] = jnp.array([1.0, 1.0, 0.0])
  padded['position'] = jnp.array([0.5, 0.5, 0.9])  # the last of the order
  loss = method.objectives['field'].loss
  value, _ = loss(params, stats, padded, key, 0)
  assert np.isfinite(value) and value > 0
  with pytest.raises(ValueError, match='batches of 2 or more scans'):
    loss(params, stats, {name: x[:1] for name, x in batch.items()}, key, 0)


@pytest.mark.parametrize(
  'module, options, sentence',
  [
    (voxelmorph, dict(field='spline'), "unknown field 'spline'"),
    (voxelmorph, dict(pairing='all'), "unknown pairing 'all'; there are atlas, scans"),
    (voxelmorph, dict(similarity='mi'), "unknown similarity 'mi'"),
    (voxelmorph, dict(passes=0), 'passes'),
    (voxelmorph, dict(bidirectional=True), "allowed is field 'velocity'"),
    (voxelmorph, dict(smoothness=-1.0), 'smoothness is -1.0'),
    (voxelmorph, dict(decoder=(8, 8)), 'at least one decoder width more'),
    (voxelmorph_diff, dict(decoder=(8,) * 4), 'allowed are 3 widths'),
    (voxelmorph_diff, dict(noise=0.0), 'noise is 0.0; allowed is a number above 0'),
  ],
)
def test_impossible_options_are_refused(module, options, sentence):
  with pytest.raises(ValueError, match=sentence):
    module.make(SHAPE, **{'decoder': WIDTHS[module], **TINY, **options})


@pytest.mark.slow
def test_a_refined_field_explains_more_and_leaves_a_lesion():
  options = {'decoder': WIDTHS[voxelmorph], **TINY, 'floor': 0.1}
  plain = voxelmorph.make(SHAPE, **options)
  refined = voxelmorph.make(
    SHAPE, **options, reweightings=3, stiffness=1.0, freedom=1.0, refinement=(6, 4)
  )
  still = {**shifted(jnp.zeros(8)), 'image': jnp.tile(blobs(SHAPE), (8, 1, 1, 1))}
  params, stats = plain.init(jax.random.key(0), still)
  for name in ('usual', 'registered'):
    loss = plain.objectives[name].loss
    _, (stats, _) = loss(params, stats, still, jax.random.key(0), 0)
  batch = shifted(jnp.full(1, 1.5))
  lesion = jnp.zeros_like(batch['mask']).at[:, 10:14, 9:14].set(1.0)
  sick = {**batch, 'image': batch['image'] + 0.8 * lesion}
  # The network at its start moves nothing.
  before, after = (
    jax.jit(method.infer)(params, stats, sick, jax.random.key(0))
    for method in (plain, refined)
  )
  healthy = 1 - lesion
  error_before, error_after = (
    float((jnp.abs(sick['image'] - o['reconstruction']) * healthy).sum())
    for o in (before, after)
  )
  assert error_after < 0.3 * error_before
  gate = np.asarray(after['gate'])
  assert gate[np.asarray(lesion) > 0].mean() > 0.2 > 20 * gate[lesion == 0].mean()
