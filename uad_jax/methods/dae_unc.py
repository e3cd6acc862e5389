"""Uncertainty-guided deformable auto-encoder: the project's own method.

A prior image, decoded through a narrow bottleneck as a change of what is usual at each
voxel, is warped onto the scan by a deformation that is regularised locally: stiff, and
blind to the data, where a gate says that a voxel is unlikely to be healthy; soft
elsewhere. Normal variability is registered and lesions are not, at inference too, since
the deformer is conditioned on the gate and on the stiffness.

Stages: 0 fits what is usual; 1 trains the prior with its log-variance; 2 trains the
deformer on simulated gates with painted lesions, and the gate network on painted
lesions; 3 calibrates every evidence on healthy validation scans.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.augmentation import lesion_shapes, synthetic_lesions
from uad_jax.method import Array, Batch, Key, Method, Objective
from uad_jax.methods.families import gate_calibration
from uad_jax.methods.families.guided_deformation import PRIOR, Guided
from uad_jax.nets.dae_unc import Deformer, Evidence, Prior
from uad_jax.ops import losses, voxel_stats
from uad_jax.registration import energy, gate
from uad_jax.registration.similarity import distance as distance_by
from uad_jax.registration.solve import gated_field
from uad_jax.registration.warp import warp


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  bins: int = 32,
  widths: Sequence[int] = (16, 32, 64, 128),
  latent: int = 16,
  heads: int = 3,
  position: bool = True,
  denoise: float = 0.5,
  deformer_widths: Sequence[int] = (8, 16, 32, 32),
  deformer_every: int = 4,
  coarse: int = 1,
  gate_widths: Sequence[int] = (16, 32, 64),
  gate_prior: bool = False,
  painters: Sequence[str] = synthetic_lesions.TRAINING,
  open_by: Sequence[str] = ('learned', 'standardised', 'epistemic'),
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

  D by `similarity`, lambda, mu and omega as in `energy.Gating`, phi = exp(v). A scorer
  or `ask` may put into the batch: 'strength' [B], which is lambda0, and 'open' [B],
  which scales the gate (0 gives the uniform field).

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    bins: Slice heights at which the usual mean and deviation are kept; 1 for volumes,
      0 leaves them out.
    widths: Encoder widths, one a halving of the grid; the decoder mirrors them.
    latent: Channels of the bottleneck's grid.
    heads: Ensembled heads of the decoder; their variance is the epistemic spread.
    position: Give the slice height to the decoder.
    denoise: Share of the prior's training scans that are painted; it is to give the
      scan that was there before.
    deformer_widths: Widths of the deformer.
    deformer_every: Steps of the gate network for one of the deformer.
    coarse: The field has the image's grid divided by this.
    gate_widths: Widths of the gate network.
    gate_prior: Show it the prior's residual, spread and log-variance too.
    painters: Generators of synthetic lesions, from `corrupt.PAINTERS`.
    open_by: What opens the gate, from `evidence.KINDS`; nothing leaves it closed.
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
    similarity: D, by `similarity.distance`.
    mse_weight: One over twice the variance of the healthy residual, about.
    twin: Weight of the twin loss; 0 switches it off.
    solve: At inference replace the conditioned field by the screened-Poisson in-fill of
      the uniform one (formulation C1).
    beta: Of the beta-NLL that trains the prior.
  """
  gate_calibration.check(open_by, 'dae_unc')
  distance = distance_by(similarity, window, mse_weight)
  gating = energy.Gating(stiffness_ratio, magnitude, data_weight, dilation)
  nets = Guided(
    shape,
    channels,
    bins,
    Prior(shape, channels, widths, latent, heads, position),
    Deformer(deformer_widths, coarse),
    Evidence(gate_widths),
    gate_prior,
    stiff_strength if two_pass else 0.0,
  )

  def weight_of(batch: Batch) -> Array:
    return batch['mask'] * losses.per_example(batch['weight'], batch['mask'])

  def fit(params, stats, batch: Batch, key: Key, step):
    seen = voxel_stats.observe(
      stats['usual'], batch['image'], batch['position'], batch['weight']
    )
    return jnp.zeros(()), (stats | {'usual': seen}, {})

  def prior_loss(params, stats, batch: Batch, key: Key, step):
    key_paint, key_head = jax.random.split(key)
    clean, mask, weight = batch['image'], batch['mask'], weight_of(batch)
    image, where = clean, batch['position']
    if denoise:
      image, _ = synthetic_lesions.paint(
        key_paint, clean, mask, painters, share=denoise
      )
    expected = nets.expect(params, nets.usual(stats, where), image, mask, where)
    # Each head learns from its own half of the batch, which keeps them apart.
    chosen = jax.random.bernoulli(key_head, 0.5, (heads, len(image))) | (heads == 1)
    chosen = chosen.reshape(heads, -1, *[1] * (image.ndim - 1)) * weight[None]
    error = losses.beta_nll(
      clean[None], expected.heads, expected.log_variance[None], beta
    )
    l1 = losses.masked_mean(jnp.abs(clean - expected.image), weight)
    return losses.masked_mean(error, chosen), (stats, {'l1': l1})

  def deformer_loss(params, stats, batch: Batch, key: Key, step):
    key_paint, key_gate, key_strength = jax.random.split(key, 3)
    # Half of the batch, painted and untouched, is a whole one again.
    batch = {name: value[::2] for name, value in batch.items()}
    clean, mask = batch['image'], batch['mask']
    image, painted = synthetic_lesions.paint(key_paint, clean, mask, painters)
    g = lesion_shapes.rough_gate(key_gate, painted, mask)
    low, high = (jnp.log(s) for s in strength_range)
    drawn = jax.random.uniform(key_strength, (len(clean),), minval=low, maxval=high)
    lambda0 = jnp.tile(jnp.exp(drawn), 2)
    image, g = jnp.concatenate([image, clean]), jnp.concatenate([g, jnp.zeros_like(g)])
    mask, where = jnp.concatenate([mask, mask]), jnp.tile(batch['position'], 2)
    usual = nets.usual(stats, where)
    expected = nets.expect(params, usual, image, mask, where).image
    expected = jax.lax.stop_gradient(expected)
    velocity = nets.velocity(params, image, expected, g, lambda0)
    both = nets.displacement(jnp.concatenate([velocity, -velocity]))
    omega = gating.data_weight(g) * mask
    data = energy.bidirectional(image, expected, omega, *jnp.split(both, 2), distance)
    total = data + energy.regularisation(velocity, g, lambda0, gating)
    disturbed, wanted = jnp.split(velocity, 2)
    apart = energy.parted(disturbed, wanted, jnp.split(g, 2)[0])
    weight = jnp.tile(batch['weight'], 2)
    value = losses.example_mean(total, weight)
    value += 0.1 * twin * losses.example_mean(apart, batch['weight'])
    return value, (stats, {'data': losses.example_mean(data, weight)})

  def gate_loss(params, stats, batch: Batch, key: Key, step):
    mask, where = weight_of(batch), batch['position']
    image, painted = synthetic_lesions.paint(
      key, batch['image'], mask, painters, share=0.8
    )
    usual = nets.usual(stats, where)
    if gate_prior:
      expected = nets.expect(params, usual, image, batch['mask'], where)
      found = nets.examine(params, usual, image, mask, expected).evidence['learned']
    else:
      found = nets.logit(params, usual, image)
    entropy = losses.masked_mean(losses.binary_cross_entropy(found, painted), mask)
    dice = losses.soft_dice(jnp.where(mask > 0, found, -20.0), painted * mask)
    return entropy + dice, (stats, {'dice': 1 - dice})

  def calibrate(params, stats, batch: Batch, key: Key, step):
    image, mask, where = batch['image'], batch['mask'], batch['position']
    usual = nets.usual(stats, where)
    expected = nets.expect(params, usual, image, mask, where)
    found = nets.examine(params, usual, image, mask, expected).evidence
    counts = gate_calibration.calibrate(stats['healthy'], found, weight_of(batch))
    return jnp.zeros(()), (stats | {'healthy': counts}, {})

  def gated_velocity(params, image, expected: Array, g: Array, lambda0: Array) -> Array:
    if not solve:
      return nets.velocity(params, image, expected, g, lambda0)
    free = nets.velocity(params, image, expected, jnp.zeros_like(g), lambda0)
    g = energy.on_grid(g, free)
    return gated_field(free, gating.data_weight(g), *gating.maps(g, 0.1))

  def infer(params, stats, batch: Batch, key: Key):
    image, mask, where = batch['image'], batch['mask'], batch['position']
    usual = nets.usual(stats, where)
    expected = nets.expect(params, usual, image, mask, where)
    judgement = nets.examine(params, usual, image, mask, expected)
    found = judgement.evidence
    g = gate_calibration.open_gate(
      stats['healthy'], found, mask, open_by, healthy_share, hinge
    )
    if 'open' in batch:
      g = g * losses.per_example(batch['open'], g)
    lambda0 = batch.get('strength', jnp.full((len(image),), strength))
    velocity = gated_velocity(params, image, expected.image, g, lambda0)
    displacement = nets.displacement(velocity)
    reconstruction = warp(expected.image, displacement) * mask
    # The variance before the warp: where the healthy differ, a little must not count.
    log_variance = expected.log_variance
    z = gate.standardised_residual(image, reconstruction, log_variance)
    posterior = jax.nn.sigmoid(found['learned']) * mask
    return {
      'latent': expected.latent,
      'prior': expected.image,
      'prior_log_variance': log_variance,
      'usual': usual.mean * mask,
      'usual_log_variance': usual.log_variance,
      'spread': expected.spread,
      'stiff': judgement.aligned * mask,
      'stiff_log_variance': log_variance,
      'standardised': found['standardised'],
      'gate': g,
      'posterior': posterior,
      'velocity': velocity,
      'displacement': displacement,
      'reconstruction': reconstruction,
      'reconstruction_log_variance': log_variance,
      'fused': posterior * z * mask,
    }

  objectives = {
    'usual': Objective(fit),
    'prior': Objective(prior_loss, PRIOR, stage=1),
    'deformer': Objective(deformer_loss, ('deformer',), stage=2, every=deformer_every),
    'gate': Objective(gate_loss, ('gate',), stage=2),
    'calibration': Objective(calibrate, stage=3, split='val'),
  }
  return Method(nets.init, objectives, infer)
