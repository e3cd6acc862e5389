"""Uncertainty-guided deformable auto-encoder: the project's own method.

A prior image, decoded through a narrow bottleneck, is warped onto the scan by a
deformation that is regularised locally: stiff, and blind to the data, where a gate says
that a voxel is unlikely to be healthy; soft elsewhere. Normal variability is registered
and lesions are not, at inference too, since the deformer is conditioned on the gate and
on the stiffness.

Stages: 0 trains the prior with its log-variance; 1 trains the deformer on simulated
gates with painted lesions, the gate network on painted lesions, and the variance of the
residuals after a warp; 2 calibrates every evidence on healthy validation scans.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax import corrupt, losses, shapes
from uad_jax.method import Array, Batch, Key, Method, Objective
from uad_jax.nets.gated import RESIDUALS, Deformer, Evidence, Expected, Prior
from uad_jax.quantile import Range, empty, observe, quantile
from uad_jax.registration import flow, gate, regularise
from uad_jax.registration.similarity import mse, ncc_loss
from uad_jax.registration.solve import gated_field
from uad_jax.registration.warp import warp

EVIDENCE = {
  'standardised': Range(0.0, 40.0),
  'epistemic': Range(-14.0, 4.0),
  'learned': Range(-20.0, 20.0),
}
"""What can open the gate, and the range in which it is calibrated."""

PRIOR = ('encoder', 'decoder', 'heads', 'variance')
SLOPE = 1.5  # of the sigmoid about the calibrated limit, science of the gate


class Judgement(NamedTuple):
  """What speaks for a lesion, by voxel."""

  aligned: Array  # the prior after the stiff pass, [B, *S, C]
  evidence: dict[str, Array]  # by name, [B, *S, 1], higher is less healthy


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (16, 32, 64, 128),
  latent: int = 16,
  heads: int = 3,
  position: bool = True,
  deformer_widths: Sequence[int] = (8, 16, 32, 32),
  coarse: int = 1,
  gate_widths: Sequence[int] = (16, 32, 64),
  painters: Sequence[str] = corrupt.TRAINING,
  evidence: Sequence[str] = ('learned', 'standardised', 'epistemic'),
  healthy_share: float = 0.01,
  two_pass: bool = True,
  hinge: bool = True,
  strength: float = 1.0,
  strength_range: tuple[float, float] = (0.03, 30.0),
  stiff_strength: float = 30.0,
  stiffness_ratio: float = 10.0,
  magnitude: float = 1.0,
  data_weight: float = 1.0,
  window: int = 9,
  dilation: int = 1,
  similarity: str = 'mse',
  mse_weight: float = 50.0,
  twin: float = 1.0,
  solve: bool = False,
  beta: float = 0.5,
) -> Method:
  """The method with every ingredient as a switch.

  The deformer minimises, over painted scans with simulated gates g and their untouched
  twins with g = 0, at strengths lambda0,

    1/2 [D(x, x_ph o phi; omega) + D(x_ph, x o phi^-1; omega o phi^-1)]
      + mean lambda |grad v|^2 + mean mu |v|^2 + twin |v(x_painted, g) - v(x, 0)|_1,

  D by `similarity`, lambda = lambda0 ratio^g, mu = magnitude lambda0 g, omega =
  1 - data_weight dilate(g), phi = exp(v). A scorer or `ask` may put into the batch:
  'strength' [B], which is lambda0, and 'open' [B], which scales the gate (0 gives the
  uniform field).

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    widths: Encoder widths, one a halving of the grid; the decoder mirrors them.
    latent: Channels of the bottleneck's grid.
    heads: Ensembled heads of the decoder; their variance is the epistemic spread.
    position: Give the slice height to the decoder.
    deformer_widths: Widths of the deformer.
    coarse: The field has the image's grid divided by this.
    gate_widths: Widths of the gate network.
    painters: Generators of synthetic lesions, from `corrupt.PAINTERS`.
    evidence: What opens the gate, from `EVIDENCE`; nothing leaves it closed.
    healthy_share: Share of healthy validation voxels that all evidence together is
      calibrated to; each gets its part.
    two_pass: Take the evidence from the residual after a stiff pass, not the prior's.
    hinge: Close the gate to exactly 0 below its floor.
    strength: lambda0 at inference.
    strength_range: lambda0 in training is drawn log-uniformly from it.
    stiff_strength: lambda0 of the stiff pass.
    stiffness_ratio: lambda inside the gate over lambda outside; 1 switches it off.
    magnitude: mu over lambda0 inside the gate; 0 switches it off.
    data_weight: rho of omega; 0 lets the similarity see the lesion.
    window: Edge length of the local correlation's box, in voxels.
    dilation: Voxels by which the gate is dilated for the data weight.
    similarity: D: 'ncc', 1 - local squared correlation, or 'mse', the squared
      difference times `mse_weight`.
    mse_weight: One over twice the variance of the healthy residual, about.
    twin: Weight of the twin loss; 0 switches it off.
    solve: At inference replace the conditioned field by the screened-Poisson in-fill of
      the uniform one (formulation C1).
    beta: Of the beta-NLL that trains the prior.
  """
  for name in evidence:
    if name not in EVIDENCE:
      raise ValueError(
        f"dae_unc: unknown evidence '{name}'; there are {', '.join(EVIDENCE)}"
      )
  distances = {
    'ncc': lambda a, b, w: ncc_loss(a, b, w, window),
    'mse': lambda a, b, w: mse_weight * mse(a, b, w),
  }
  if similarity not in distances:
    raise ValueError(
      f"dae_unc: unknown similarity '{similarity}'; there are {', '.join(distances)}"
    )
  distance = distances[similarity]
  prior = Prior(shape, channels, widths, latent, heads, position)
  deformer = Deformer(deformer_widths, coarse)
  judge_net = Evidence(gate_widths)

  def expect(params, image: Array, mask: Array, where: Array) -> Expected:
    variables = {'params': {name: params[name] for name in PRIOR}}
    return prior.apply(variables, image, mask, where)

  def frozen(params, image: Array, mask: Array, where: Array) -> Expected:
    return jax.lax.stop_gradient(expect(params, image, mask, where))

  def velocity_of(params, image, expected: Array, g: Array, lambda0: Array) -> Array:
    return deformer.apply({'params': params['deformer']}, image, expected, g, lambda0)

  def displacement_of(velocity: Array) -> Array:
    return flow.resize(flow.integrate(velocity), shape)

  def uniform_field(params, image: Array, expected: Array, value: float) -> Array:
    lambda0 = jnp.full((len(image),), value)
    closed = jnp.zeros_like(image[..., :1])
    return velocity_of(params, image, expected, closed, lambda0)

  def judge(params, image: Array, mask: Array, expected: Expected) -> Judgement:
    aligned, residual = expected.image, 'prior'
    if two_pass:
      velocity = uniform_field(params, image, aligned, stiff_strength)
      aligned, residual = warp(aligned, displacement_of(velocity)), 'stiff'
    log_variance = expected.log_variance[residual]
    z = gate.standardised_residual(image, aligned, log_variance)
    spread = jnp.log(expected.spread.mean(-1, keepdims=True) + 1e-6)
    features = (image, aligned, z, spread, log_variance)
    learned = judge_net.apply(
      {'params': params['gate']}, *jax.lax.stop_gradient(features)
    )
    found = {'standardised': z, 'epistemic': spread, 'learned': learned}
    return Judgement(aligned, {name: value * mask for name, value in found.items()})

  def open_gate(stats, found: dict[str, Array], mask: Array) -> Array:
    """The strongest calibrated evidence, smoothed and hinged."""
    h = jnp.zeros_like(mask)
    for name in evidence:
      share = 1 - healthy_share / len(evidence)
      limit = quantile(stats['healthy'][name], share, EVIDENCE[name])
      h = jnp.maximum(h, jax.nn.sigmoid(SLOPE * (found[name] - limit)) * mask)
    return gate.gate(h, hinge=hinge) * mask

  def weight_of(batch: Batch) -> Array:
    return batch['mask'] * losses.per_example(batch['weight'], batch['mask'])

  def init(key: Key, batch: Batch):
    key_prior, key_deformer, key_gate = jax.random.split(key, 3)
    image, mask = batch['image'], batch['mask']
    params = prior.init(key_prior, image, mask, batch['position'])['params']
    lambda0 = jnp.ones((len(image),))
    fields = deformer.init(key_deformer, image, image, mask, lambda0)['params']
    judging = judge_net.init(key_gate, image, image, mask, mask, image)['params']
    healthy = {name: empty(span) for name, span in EVIDENCE.items()}
    return {**params, 'deformer': fields, 'gate': judging}, {'healthy': healthy}

  def prior_loss(params, stats, batch: Batch, key: Key, step):
    image, weight = batch['image'], weight_of(batch)
    expected = expect(params, image, batch['mask'], batch['position'])
    # Each head learns from its own half of the batch, which keeps them apart.
    chosen = jax.random.bernoulli(key, 0.5, (heads, len(image))) | (heads == 1)
    chosen = chosen.reshape(heads, -1, *[1] * (image.ndim - 1)) * weight[None]
    log_variance = expected.log_variance['prior'][None]
    error = losses.beta_nll(image[None], expected.heads, log_variance, beta)
    l1 = losses.masked_mean(jnp.abs(image - expected.image), weight)
    return losses.masked_mean(error, chosen), (stats, {'l1': l1})

  def registration_loss(image, expected, g, lambda0, mask, velocity):
    """Data and regularisation by image, each [B]."""
    both = jnp.concatenate([velocity, -velocity])
    there, back = jnp.split(displacement_of(both), 2)
    omega = gate.data_weight(g, data_weight, dilation) * mask
    pairs = (
      jnp.concatenate([image, expected]),
      jnp.concatenate([warp(expected, there), warp(image, back)]),
      jnp.concatenate([omega, warp(omega, back)]),
    )
    data = 0.5 * distance(*pairs)
    small = jax.image.resize(g, (*velocity.shape[:-1], 1), 'linear')
    base = losses.per_example(lambda0, small)
    penalty = regularise.gradient_energy(
      velocity, gate.stiffness(small, base, stiffness_ratio)
    ) + regularise.magnitude_energy(velocity, gate.magnitude(small, magnitude * base))
    return sum(jnp.split(data, 2)), penalty, small

  def deformer_loss(params, stats, batch: Batch, key: Key, step):
    key_paint, key_gate, key_strength = jax.random.split(key, 3)
    # Half of the batch, painted and untouched, is a whole one again.
    batch = {name: value[::2] for name, value in batch.items()}
    clean, mask = batch['image'], batch['mask']
    image, painted = corrupt.paint(key_paint, clean, mask, painters)
    g = shapes.rough_gate(key_gate, painted, mask)
    low, high = (jnp.log(s) for s in strength_range)
    drawn = jax.random.uniform(key_strength, (len(clean),), minval=low, maxval=high)
    lambda0 = jnp.tile(jnp.exp(drawn), 2)
    image, g = jnp.concatenate([image, clean]), jnp.concatenate([g, jnp.zeros_like(g)])
    mask, where = jnp.concatenate([mask, mask]), jnp.tile(batch['position'], 2)
    expected = frozen(params, image, mask, where).image
    velocity = velocity_of(params, image, expected, g, lambda0)
    data, penalty, small = registration_loss(
      image, expected, g, lambda0, mask, velocity
    )
    total = data + penalty
    disturbed, wanted = jnp.split(velocity, 2)
    near = gate.dilate(jnp.split(small, 2)[0], 2)
    apart = jnp.abs(disturbed - jax.lax.stop_gradient(wanted)) * near
    axes = tuple(range(1, apart.ndim))
    apart = apart.sum(axes) / jnp.maximum(near.sum(axes), 1.0)
    weight = jnp.tile(batch['weight'], 2)
    value = losses.example_mean(total, weight)
    value += 0.1 * twin * losses.example_mean(apart, batch['weight'])
    return value, (stats, {'data': losses.example_mean(data, weight)})

  def gate_loss(params, stats, batch: Batch, key: Key, step):
    mask = weight_of(batch)
    image, painted = corrupt.paint(key, batch['image'], mask, painters, share=0.8)
    expected = frozen(params, image, batch['mask'], batch['position'])
    logit = judge(params, image, mask, expected).evidence['learned']
    entropy = losses.masked_mean(losses.binary_cross_entropy(logit, painted), mask)
    dice = losses.soft_dice(jnp.where(mask > 0, logit, -20.0), painted * mask)
    return entropy + 0.3 * dice, (stats, {'dice': 1 - dice})

  def variance_loss(params, stats, batch: Batch, key: Key, step):
    image, weight = batch['image'], weight_of(batch)
    expected = expect(params, image, batch['mask'], batch['position'])
    start = jax.lax.stop_gradient(expected.image)
    images = {'prior': start}
    for name, value in (('stiff', stiff_strength), ('reconstruction', strength)):
      velocity = uniform_field(params, image, start, value)
      images[name] = jax.lax.stop_gradient(warp(start, displacement_of(velocity)))
    total = sum(
      losses.masked_mean(
        losses.gaussian_nll(image, images[name], expected.log_variance[name]), weight
      )
      for name in RESIDUALS
    )
    return total, (stats, {})

  def calibrate(params, stats, batch: Batch, key: Key, step):
    image, mask = batch['image'], batch['mask']
    expected = expect(params, image, mask, batch['position'])
    found = judge(params, image, mask, expected).evidence
    counts = {
      name: observe(stats['healthy'][name], found[name], weight_of(batch), span)
      for name, span in EVIDENCE.items()
    }
    return jnp.zeros(()), (stats | {'healthy': counts}, {})

  def gated_velocity(params, image, expected: Array, g: Array, lambda0: Array) -> Array:
    if not solve:
      return velocity_of(params, image, expected, g, lambda0)
    free = velocity_of(params, image, expected, jnp.zeros_like(g), lambda0)
    small = jax.image.resize(g, (*free.shape[:-1], 1), 'linear')
    return gated_field(
      free,
      gate.data_weight(small, data_weight, dilation),
      gate.stiffness(small, 0.1, stiffness_ratio),
      gate.magnitude(small, 0.1 * magnitude),
    )

  def infer(params, stats, batch: Batch, key: Key):
    image, mask = batch['image'], batch['mask']
    expected = expect(params, image, mask, batch['position'])
    judgement = judge(params, image, mask, expected)
    found = judgement.evidence
    g = open_gate(stats, found, mask)
    if 'open' in batch:
      g = g * losses.per_example(batch['open'], g)
    lambda0 = batch.get('strength', jnp.full((len(image),), strength))
    velocity = gated_velocity(params, image, expected.image, g, lambda0)
    displacement = displacement_of(velocity)
    reconstruction = warp(expected.image, displacement) * mask
    log_variance = expected.log_variance
    z = gate.standardised_residual(
      image, reconstruction, log_variance['reconstruction']
    )
    posterior = jax.nn.sigmoid(found['learned']) * mask
    return {
      'latent': expected.latent,
      'prior': expected.image,
      'prior_log_variance': log_variance['prior'],
      'spread': expected.spread,
      'stiff': judgement.aligned * mask,
      'stiff_log_variance': log_variance['stiff'],
      'standardised': found['standardised'],
      'gate': g,
      'posterior': posterior,
      'velocity': velocity,
      'displacement': displacement,
      'reconstruction': reconstruction,
      'reconstruction_log_variance': log_variance['reconstruction'],
      'fused': posterior * z * mask,
    }

  objectives = {
    'prior': Objective(prior_loss, PRIOR),
    'deformer': Objective(deformer_loss, ('deformer',), stage=1),
    'gate': Objective(gate_loss, ('gate',), stage=1),
    'variance': Objective(variance_loss, ('variance',), stage=1, every=4),
    'calibration': Objective(calibrate, stage=2, split='val'),
  }
  return Method(init, objectives, infer)
