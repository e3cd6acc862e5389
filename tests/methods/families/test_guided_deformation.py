"""Untrained networks of the guided deformable auto-encoder, and their evidence."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.method_table import make_batch
from uad_jax.methods.families import gate_calibration, voxel_moments
from uad_jax.methods.families.guided_deformation import FLOOR, PRIOR, Guided
from uad_jax.nets.dae_unc import Deformer, Evidence, Prior
from uad_jax.registration import energy
from uad_jax.registration.energy import Gating
from uad_jax.registration.solve import laplacian

SHAPE = (16, 16)
BATCH = make_batch(SHAPE)
BINS = 3


def guided(bins=BINS, gate_sees_prior=True, stiff_strength=30.0, mirror=False):
  return Guided(
    SHAPE,
    1,
    bins,
    Prior(SHAPE, 1, widths=(8, 8), latent=2, heads=2, position=True),
    Deformer(widths=(4, 4), coarse=1),
    Evidence(widths=(4, 8)),
    gate_sees_prior,
    stiff_strength,
    Gating(),
    mirror=mirror,
  )


@functools.cache
def initial():
  """Initial parameters and statistics; parameters of a deformer that does deform."""
  params, stats = jax.jit(guided().init)(jax.random.key(0), BATCH)
  larger = jax.tree.map(lambda leaf: 1000 * leaf, params['deformer'])
  return params, stats, {**params, 'deformer': larger}


def expect(nets, params, stats):
  usual = nets.usual(stats, BATCH['position'])
  inputs = BATCH['image'], BATCH['mask'], BATCH['position']
  return usual, nets.expect(params, usual, *inputs)


def examine(nets, params, stats):
  usual, expected = expect(nets, params, stats)
  image, mask = BATCH['image'], BATCH['mask']
  return expected, nets.examine(params, usual, image, mask, expected)


def test_init_gives_the_networks_and_empty_statistics():
  params, stats, _ = initial()
  assert set(params) == {*PRIOR, 'deformer', 'gate'}
  assert all(jax.tree.leaves(params[name]) for name in params)
  assert set(stats) == {'usual', 'healthy'}
  assert stats['usual']['sum'].shape == (BINS, *SHAPE, 1)
  assert set(stats['healthy']) == set(gate_calibration.KINDS)
  assert not any(leaf.any() for leaf in jax.tree.leaves(stats))


@pytest.mark.parametrize('bins, log_variance', [(0, -4.0), (BINS, 2 * np.log(FLOOR))])
def test_without_training_scans_the_usual_image_is_zero(bins, log_variance):
  nets = guided(bins)
  _, stats = jax.eval_shape(nets.init, jax.random.key(0), BATCH)
  stats = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), stats)
  usual = nets.usual(stats, BATCH['position'])
  assert usual.mean.shape == usual.log_variance.shape == BATCH['image'].shape
  np.testing.assert_array_equal(usual.mean, 0)
  np.testing.assert_allclose(usual.log_variance, log_variance, rtol=1e-6)


def test_the_usual_image_is_the_mean_of_the_fitted_scans():
  nets, (_, stats, _) = guided(), initial()
  flat = {**BATCH, 'image': np.full_like(BATCH['image'], 0.5)}
  _, (fitted, _) = voxel_moments.fit('usual')(None, stats, flat, None, 0)
  usual = nets.usual(fitted, BATCH['position'])
  np.testing.assert_allclose(usual.mean, 0.5, rtol=1e-5)
  np.testing.assert_allclose(usual.log_variance, 2 * np.log(FLOOR), rtol=1e-2)
  assert fitted['healthy'] is stats['healthy']


def test_untrained_networks_and_a_closed_gate_leave_the_image_nearly_undeformed():
  params, stats, larger = initial()
  nets, closed = guided(), jnp.zeros_like(BATCH['mask'])

  @jax.jit
  def displacement(params):
    _, expected = expect(nets, params, stats)
    strength = jnp.ones(len(closed))
    velocity = nets.velocity(params, BATCH['image'], expected.image, closed, strength)
    return nets.displacement(velocity)

  field = displacement(params)
  assert field.shape == (*BATCH['image'].shape[:-1], 2)
  assert 0 < float(jnp.abs(field).max()) < 0.05
  assert float(jnp.abs(displacement(larger)).max()) > 0.5


def test_the_field_inside_the_gate_is_filled_in_at_the_strength_that_is_asked_for():
  _, stats, larger = initial()
  nets, image = guided(), BATCH['image']
  g = jnp.zeros_like(BATCH['mask']).at[:, 6:10, 6:10].set(1.0)

  @jax.jit
  def fields(strength):
    _, expected = expect(nets, larger, stats)
    lambda0 = jnp.full(len(g), strength)
    free = nets.velocity(larger, image, expected.image, jnp.zeros_like(g), lambda0)
    infilled = nets.infilled_velocity(larger, image, expected.image, g, lambda0)
    # Oracle: the equation of `gated_field`, times its right side's weights.
    on_field = energy.on_grid(g, free)
    keep = nets.gating.data_weight(on_field)
    stiffness, pull = nets.gating.maps(on_field, strength)
    left = (keep + pull) * infilled + laplacian(infilled, stiffness)
    return free, infilled, left - keep * free

  for strength in (0.03, 3.0):
    free, infilled, error = fields(strength)
    assert float(jnp.abs(infilled - free).max()) > 1e-3
    assert float(jnp.abs(error).max()) < 1e-3 * float(jnp.abs(free).max())


def test_without_a_stiff_pass_the_aligned_image_is_the_prior_image():
  _, stats, larger = initial()

  def aligned(stiff_strength):
    nets = guided(stiff_strength=stiff_strength)
    expected, judgement = jax.jit(lambda params: examine(nets, params, stats))(larger)
    return np.asarray(expected.image), np.asarray(judgement.aligned)

  np.testing.assert_array_equal(*aligned(0.0))
  prior, warped = aligned(30.0)
  assert np.abs(prior - warped).max() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize('gate_sees_prior', [True, False])
def test_evidence_is_zero_outside_the_brain_only(gate_sees_prior):
  nets = guided(gate_sees_prior=gate_sees_prior)
  params, stats = jax.jit(nets.init)(jax.random.key(1), BATCH)
  _, judgement = jax.jit(lambda params: examine(nets, params, stats))(params)
  assert set(judgement.evidence) == set(gate_calibration.KINDS)
  for name, value in judgement.evidence.items():
    value, inside = np.asarray(value), BATCH['mask'] > 0
    assert value.shape == inside.shape
    assert not value[~inside].any(), name
    assert (value[inside] != 0).mean() > 0.9, name


@pytest.mark.slow
def test_the_gradient_of_the_learned_logit_does_not_reach_the_prior():
  nets, (params, stats, _) = guided(), initial()

  def reached(name):
    """Names of the networks that this evidence has a gradient for."""

    def total(params):
      return examine(nets, params, stats)[1].evidence[name].sum()

    gradient = jax.jit(jax.grad(total))(params)
    return {
      net
      for net, tree in gradient.items()
      if any(np.asarray(leaf).any() for leaf in jax.tree.leaves(tree))
    }

  assert reached('learned') == {'gate'}
  # The gradient of the residual reaches the prior: only the logit cuts it.
  assert reached('standardised') >= {'encoder', 'decoder', 'heads'}


def test_the_learned_logit_reads_the_prior_only_where_it_is_shown():
  params, stats, _ = initial()
  changed = {**params, 'heads': jax.tree.map(lambda leaf: leaf + 1, params['heads'])}

  def logits(gate_sees_prior):
    nets = guided(gate_sees_prior=gate_sees_prior, stiff_strength=0.0)
    gate = jax.jit(nets.init)(jax.random.key(0), BATCH)[0]['gate']
    run = jax.jit(lambda params: examine(nets, {**params, 'gate': gate}, stats)[1])
    return [run(p).evidence['learned'] for p in (params, changed)]

  shown, hidden = logits(True), logits(False)
  assert not np.allclose(*shown, atol=1e-3)
  np.testing.assert_array_equal(*hidden)


def test_with_mirror_the_logit_of_a_mirrored_scan_is_mirrored():
  nets = guided(gate_sees_prior=False, stiff_strength=0.0, mirror=True)
  params, stats = jax.jit(nets.init)(jax.random.key(2), BATCH)

  @jax.jit
  def learned(image, mask):
    usual, expected = expect(nets, params, stats)  # both symmetric: a mean of 0
    return nets.examine(params, usual, image, mask, expected).evidence['learned']

  image, mask = BATCH['image'], BATCH['mask']
  turned = learned(image[:, ::-1], mask[:, ::-1])[:, ::-1]
  np.testing.assert_allclose(learned(image, mask), turned, atol=1e-5)
  # The other half matters: a change there changes the logit here.
  changed = image.copy()
  changed[:, :4] += 0.5
  far = np.abs(learned(changed, mask) - learned(image, mask))[:, 12:]
  assert far.max() > 1e-3


def test_calibration_counts_the_brain_voxels_of_scans_that_are_no_padding():
  nets, (params, stats, _) = guided(), initial()
  batch = {**BATCH, 'weight': np.array([1, 1, 0, 1], np.float32)}
  calibrate = jax.jit(lambda: nets.calibrate(params, stats, batch, None, 0))
  _, (calibrated, _) = calibrate()
  voxels = BATCH['mask'][batch['weight'] > 0].sum()
  for name, counts in calibrated['healthy'].items():
    np.testing.assert_allclose(counts.sum(), voxels, err_msg=name)
  assert calibrated['usual'] is not None
  jax.tree.map(np.testing.assert_array_equal, calibrated['usual'], stats['usual'])
