"""Uncertainty-guided deformable auto-encoder: the project's own method.

A prior image, decoded through a narrow bottleneck, is warped onto the scan by a
deformation which is regularised locally: stiff, and blind to the data, where a gate
says that a voxel is unlikely to be healthy; soft elsewhere. Normal variability is
registered, lesions are not, at inference too, since the deformer is conditioned on the
gate and on the stiffness.

Stages: 0 trains the prior with its log-variance; 1 trains the deformer on simulated
gates with painted lesions, the gate network on painted lesions, and the variance of the
residuals after the warp; 2 calibrates every evidence on healthy validation scans.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax import corrupt, losses
from uad_jax.method import Array, Batch, Key, Method, Objective
from uad_jax.nets.coder import Decoder, Encoder, Head
from uad_jax.nets.position import position_features
from uad_jax.nets.unet import UNet
from uad_jax.quantile import Range, empty, observe, quantile
from uad_jax.registration import flow, gate, regularise, similarity
from uad_jax.registration.solve import gated_field
from uad_jax.registration.warp import warp

LOG_VARIANCE = (-9.0, 2.0)
EVIDENCE = {
  'standardised': Range(0.0, 40.0),
  'epistemic': Range(-12.0, 4.0),
  'learned': Range(-20.0, 20.0),
}
RESIDUALS = ('prior', 'stiff', 'reconstruction')


class Expected(NamedTuple):
  """What the latent says of the scan, before any deformation."""

  latent: Array
  image: Array  # [B, *S, C], mean of the heads
  spread: Array  # [B, *S, C], variance over the heads
  log_variance: dict[str, Array]  # by residual, [B, *S, C]


class Field(NamedTuple):
  """One pass of the deformer."""

  velocity: Array  # [B, *S/2, d], voxels of the half grid
  displacement: Array  # [B, *S, d], voxels


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (32, 64, 128, 128),
  latent: int = 16,
  heads: int = 3,
  position: bool = True,
  deformer_widths: Sequence[int] = (16, 32, 32),
  gate_widths: Sequence[int] = (24, 48, 96),
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
  twin: float = 1.0,
  solve: bool = False,
  beta: float = 0.5,
) -> Method:
  """The method with every ingredient as a switch.

  The deformer minimises, over simulated gates g and strengths lambda0,

    1/2 [D(x, x_ph o phi; omega) + D(x_ph, x o phi^-1; omega o phi^-1)]
      + mean lambda |grad v|^2 + mean mu |v|^2 + twin |v(x_painted, g) - v(x, 0)|_1,

  D = 1 - local correlation, lambda = lambda0 ratio^g, mu = magnitude lambda0 g, omega =
  1 - data_weight dilate(g). Asked for by a scorer through the batch: 'strength' [B] is
  lambda0, 'open' [B] scales the gate (0 gives the uniform field).

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    widths: Encoder widths, one a halving of the grid; the decoder mirrors them.
    latent: Channels of the bottleneck's grid.
    heads: Ensembled heads of the decoder; their variance is the epistemic spread.
    position: Give the slice height to the decoder.
    deformer_widths: Widths of the deformer, which works on half the grid.
    gate_widths: Widths of the gate network.
    painters: Generators of synthetic lesions, from `corrupt.PAINTERS`.
    evidence: What opens the gate, from 'standardised', 'epistemic', 'learned'.
    healthy_share: Share of healthy validation voxels at which all evidence together is
      calibrated; each gets its part.
    two_pass: Take the evidence from the residual after a stiff pass, not the prior's.
    hinge: Close the gate to exactly 0 below its floor.
    strength: lambda0 at inference.
    strength_range: lambda0 in training is drawn log-uniformly from it.
    stiff_strength: lambda0 of the stiff pass.
    stiffness_ratio: lambda inside the gate over lambda outside; 1 switches it off.
    magnitude: mu over lambda0 inside the gate; 0 switches it off.
    data_weight: rho of omega; 0 lets the similarity see the lesion.
    window: Edge length of the local correlation's box, in voxels.
    dilation: Voxels by which the gate is dilated for the data weight at inference of
      the solve, and in training.
    twin: Weight of the twin loss; 0 switches it off.
    solve: At inference replace the conditioned field by the screened-Poisson in-fill of
      the uniform one (formulation C1).
    beta: Of the beta-NLL.
  """
  unknown = [name for name in evidence if name not in EVIDENCE]
  if unknown:
    raise ValueError(
      f"dae_unc: unknown evidence '{unknown[0]}'; there are {', '.join(EVIDENCE)}"
    )
  d = len(shape)
  encoder = Encoder(widths, latent)
  decoder = Decoder(shape, widths[::-1])
  mean_heads = Head(heads * channels, scale=0.1)
  variance_head = Head(len(RESIDUALS) * channels, bias=-4.0)
  deformer = UNet(deformer_widths, d, head_scale=1e-6)
  gate_net = UNet(gate_widths, 1)
  half = tuple(-(-n // 2) for n in shape)

  def where(batch: Batch):
    return position_features(batch['position']) if position else None

  def expect(params, batch: Batch, image: Array) -> Expected:
    z = encoder.apply({'params': params['encoder']}, image)
    features = decoder.apply({'params': params['decoder']['trunk']}, z, where(batch))
    means = mean_heads.apply({'params': params['decoder']['heads']}, features)
    means = jnp.stack(jnp.split(means, heads, -1)) * batch['mask'][None]
    variance = variance_head.apply(
      {'params': params['variance']}, jax.lax.stop_gradient(features)
    )
    variance = jnp.split(jnp.clip(variance, *LOG_VARIANCE), len(RESIDUALS), -1)
    by_residual = dict(zip(RESIDUALS, variance, strict=True))
    return Expected(z, means.mean(0), means.var(0), by_residual), means

  def deform(params, image, prior, opening, lambda0) -> Field:
    """opening [B, *S, 1] is the gate, lambda0 [B]."""
    log_lambda = jnp.log(lambda0)[:, None]
    local = losses.per_example(log_lambda, opening) + opening * jnp.log(stiffness_ratio)
    stack = jnp.concatenate([image, prior, opening, local], -1)
    small = jax.image.resize(stack, (len(stack), *half, stack.shape[-1]), 'linear')
    velocity = deformer.apply(
      {'params': params['deformer']},
      small,
      small[..., -2:],
      log_lambda,
    )
    return Field(velocity, flow.resize(flow.integrate(velocity), shape))

  def uniform(image, value):
    return jnp.zeros_like(image[..., :1]), jnp.full((len(image),), value)

  def stiff_pass(params, image, expected: Expected):
    """The prior after gross alignment, and the key of its residual's variance."""
    if not two_pass:
      return expected.image, 'prior'
    field = deform(params, image, expected.image, *uniform(image, stiff_strength))
    return warp(expected.image, field.displacement), 'stiff'

  def judge(params, image, mask, expected: Expected) -> dict[str, Array]:
    """Each evidence by voxel, [B, *S, 1]; higher is less healthy."""
    aligned, residual = stiff_pass(params, image, expected)
    log_variance = expected.log_variance[residual]
    z = gate.standardised_residual(image, aligned, log_variance)
    spread = jnp.log(expected.spread.mean(-1, keepdims=True) + 1e-6)
    features = jnp.concatenate(
      [image, aligned, image - aligned, 0.2 * z, 0.2 * spread, log_variance], -1
    )
    logit = gate_net.apply({'params': params['gate']}, jax.lax.stop_gradient(features))
    found = {'standardised': z, 'epistemic': spread, 'learned': logit}
    return {'aligned': aligned, **{k: v * mask for k, v in found.items()}}

  def opening(stats, evident: dict[str, Array], mask: Array) -> Array:
    """The gate: the strongest calibrated evidence, smoothed and hinged."""
    share = 1 - healthy_share / max(len(evidence), 1)
    h = jnp.zeros_like(mask)
    for name in evidence:
      limit = quantile(stats['healthy'][name], share, EVIDENCE[name])
      h = jnp.maximum(h, jax.nn.sigmoid(1.5 * (evident[name] - limit)) * mask)
    return gate.gate(h, hinge=hinge) * mask

  def init(key: Key, batch: Batch):
    keys = jax.random.split(key, 6)
    image = batch['image']
    encoding = encoder.init(keys[0], image)['params']
    z = encoder.apply({'params': encoding}, image)
    trunk = decoder.init(keys[1], z, where(batch))['params']
    features = decoder.apply({'params': trunk}, z, where(batch))
    maps = jnp.zeros((len(image), *half, 2 * channels + 2))
    extra = jnp.zeros((*image.shape[:-1], 4 * channels + 2))
    params = {
      'encoder': encoding,
      'decoder': {
        'trunk': trunk,
        'heads': mean_heads.init(keys[2], features)['params'],
      },
      'variance': variance_head.init(keys[3], features)['params'],
      'deformer': deformer.init(keys[4], maps, maps[..., -2:], maps[:, *[0] * d, :1])[
        'params'
      ],
      'gate': gate_net.init(keys[5], extra)['params'],
    }
    return params, {'healthy': {k: empty(span) for k, span in EVIDENCE.items()}}

  def weight_of(batch: Batch) -> Array:
    return batch['mask'] * losses.per_example(batch['weight'], batch['mask'])

  def prior_loss(params, stats, batch: Batch, key: Key, step):
    image, weight = batch['image'], weight_of(batch)
    expected, means = expect(params, batch, image)
    # Each head learns from its own half of the batch, which keeps them apart.
    chosen = jax.random.bernoulli(key, 0.5, (heads, len(image))) | (heads == 1)
    chosen = chosen.reshape(heads, -1, *[1] * (d + 1)) * weight[None]
    error = losses.masked_mean(
      losses.beta_nll(image[None], means, expected.log_variance['prior'][None], beta),
      chosen,
    )
    l1 = losses.masked_mean(jnp.abs(image - expected.image), weight)
    return error, (stats, {'l1': l1})

  def frozen(params, batch, image) -> Expected:
    return jax.lax.stop_gradient(expect(params, batch, image)[0])

  def simulate_gate(key: Key, shape_painted: Array, mask: Array) -> Array:
    """An imperfect gate about the painted shapes: tight, wide, late, or false."""
    key_level, key_wide, key_miss, key_false, key_blob = jax.random.split(key, 5)
    size = (len(mask),)

    def choose(key, probability):
      return losses.per_example(jax.random.bernoulli(key, probability, size), mask)

    level = losses.per_example(jax.random.uniform(key_level, size, maxval=0.7), mask)
    g = jnp.clip((shape_painted - level) / 0.3, 0, 1)
    g = jnp.where(choose(key_wide, 0.5), gate.dilate(g, 1), g)
    g = jnp.where(choose(key_miss, 0.1), 0.0, g)
    false = jax.vmap(corrupt.blob)(jax.random.split(key_blob, len(mask)), mask[..., 0])
    return jnp.maximum(g, jnp.where(choose(key_false, 0.15), false[..., None], 0.0))

  def deformer_loss(params, stats, batch: Batch, key: Key, step):
    key_paint, key_gate, key_strength = jax.random.split(key, 3)
    clean, mask = batch['image'], batch['mask']
    image, painted = corrupt.paint(key_paint, clean, mask, painters, 0.6)
    g = simulate_gate(key_gate, painted, mask)
    low, high = (jnp.log(s) for s in strength_range)
    lambda0 = jnp.exp(
      jax.random.uniform(key_strength, (len(image),), minval=low, maxval=high)
    )
    prior = frozen(params, batch, image).image
    field = deform(params, image, prior, g, lambda0)
    omega = gate.data_weight(g, data_weight, dilation) * mask
    back = flow.resize(flow.inverse(field.velocity), shape)
    forward = similarity.ncc_loss(image, warp(prior, field.displacement), omega, window)
    reverse = similarity.ncc_loss(prior, warp(image, back), warp(omega, back), window)
    small_g = jax.image.resize(g, (len(g), *half, 1), 'linear')
    base = losses.per_example(lambda0, small_g)
    penalty = regularise.gradient_energy(
      field.velocity, gate.stiffness(small_g, base, stiffness_ratio)
    ) + regularise.magnitude_energy(
      field.velocity, gate.magnitude(small_g, magnitude * base)
    )
    data = 0.5 * (forward + reverse)
    total = data + penalty
    if twin:
      prior_clean = frozen(params, batch, clean).image
      wanted = jax.lax.stop_gradient(
        deform(params, clean, prior_clean, jnp.zeros_like(g), lambda0).velocity
      )
      near = gate.dilate(jnp.maximum(small_g, 0), 2)
      apart = jnp.abs(field.velocity - wanted) * near
      axes = tuple(range(1, apart.ndim))
      total = total + twin * 0.1 * apart.sum(axes) / jnp.maximum(near.sum(axes), 1.0)
    weight = batch['weight']
    return losses.example_mean(total, weight), (
      stats,
      {'data': losses.example_mean(data, weight)},
    )

  def gate_loss(params, stats, batch: Batch, key: Key, step):
    mask = weight_of(batch)
    image, painted = corrupt.paint(key, batch['image'], mask, painters, 0.8)
    logit = judge(params, image, mask, frozen(params, batch, image))['learned']
    target = painted
    loss = losses.masked_mean(losses.binary_cross_entropy(logit, target), mask)
    dice = losses.soft_dice(jnp.where(mask > 0, logit, -20.0), target * mask)
    return loss + 0.3 * dice, (stats, {'dice': 1 - dice})

  def variance_loss(params, stats, batch: Batch, key: Key, step):
    image, weight = batch['image'], weight_of(batch)
    expected, _ = expect(params, batch, image)
    fixed = jax.lax.stop_gradient(expected)
    free = deform(params, image, fixed.image, *uniform(image, strength))
    images = {
      'prior': fixed.image,
      'stiff': stiff_pass(params, image, fixed)[0],
      'reconstruction': warp(fixed.image, free.displacement),
    }
    total = sum(
      losses.masked_mean(
        losses.gaussian_nll(
          image, jax.lax.stop_gradient(images[name]), expected.log_variance[name]
        ),
        weight,
      )
      for name in RESIDUALS
    )
    return total, (stats, {})

  def calibrate(params, stats, batch: Batch, key: Key, step):
    image, mask = batch['image'], batch['mask']
    evident = judge(params, image, mask, frozen(params, batch, image))
    counts = {
      name: observe(stats['healthy'][name], evident[name], weight_of(batch), span)
      for name, span in EVIDENCE.items()
    }
    return jnp.zeros(()), (stats | {'healthy': counts}, {})

  def infer(params, stats, batch: Batch, key: Key):
    image, mask = batch['image'], batch['mask']
    expected, _ = expect(params, batch, image)
    evident = judge(params, image, mask, expected)
    g = opening(stats, evident, mask)
    if 'open' in batch:
      g = g * losses.per_example(batch['open'], g)
    lambda0 = batch.get('strength', jnp.full((len(image),), strength))
    if solve:
      field = deform(params, image, expected.image, jnp.zeros_like(g), lambda0)
      small_g = jax.image.resize(g, (len(g), *half, 1), 'linear')
      base = losses.per_example(lambda0, small_g)
      velocity = gated_field(
        field.velocity,
        gate.data_weight(small_g, data_weight, dilation),
        gate.stiffness(small_g, 0.1 * jnp.ones_like(base), stiffness_ratio),
        gate.magnitude(small_g, 0.1 * magnitude),
      )
      field = Field(velocity, flow.resize(flow.integrate(velocity), shape))
    else:
      field = deform(params, image, expected.image, g, lambda0)
    reconstruction = warp(expected.image, field.displacement) * mask
    z = gate.standardised_residual(
      image, reconstruction, expected.log_variance['reconstruction']
    )
    posterior = jax.nn.sigmoid(evident['learned']) * mask
    return {
      'latent': expected.latent,
      'prior': expected.image,
      'prior_log_variance': expected.log_variance['prior'],
      'spread': expected.spread,
      'stiff': evident['aligned'] * mask,
      'stiff_log_variance': expected.log_variance['stiff'],
      'standardised': evident['standardised'],
      'gate': g,
      'posterior': posterior,
      'velocity': field.velocity,
      'displacement': field.displacement,
      'reconstruction': reconstruction,
      'reconstruction_log_variance': expected.log_variance['reconstruction'],
      'fused': (posterior * z) * mask,
    }

  objectives = {
    'prior': Objective(prior_loss, ('encoder', 'decoder', 'variance')),
    'deformer': Objective(deformer_loss, ('deformer',), stage=1),
    'gate': Objective(gate_loss, ('gate',), stage=1),
    'variance': Objective(variance_loss, ('variance',), stage=1, every=4),
    'calibration': Objective(calibrate, stage=2, split='val'),
  }
  return Method(init, objectives, infer)
