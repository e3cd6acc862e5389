"""Auto-encoder that warps a healthy image onto the scan, except at likely lesions.

This is the project's own method, the uncertainty-guided deformable auto-encoder.

A prior image (the healthy image expected for a scan) is decoded through a narrow
bottleneck, as a change of the mean of the healthy scans, and warped onto the scan by a
displacement field that is regularised locally: stiff and blind to the data where a gate
says that a voxel is unlikely to be healthy, soft elsewhere. Normal variability is
registered and lesions are not, at inference too, since the deformer is conditioned on
gate and stiffness.

Stages: 0 fits mean and variance of the healthy scans at each voxel; 1 trains the prior
image with its log-variance; 2 trains the deformer on synthetic (painted) lesions under
simulated gates, and the gate network on synthetic lesions; 3 calibrates the evidence of
lesions on healthy validation scans.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.augmentation import synthetic_lesions
from uad_jax.method import Batch, Key, Method, Objective
from uad_jax.methods.families import gate_calibration, painted_lesions, painted_twins
from uad_jax.methods.families.guided_deformation import PRIOR, Guided
from uad_jax.methods.families.voxel_moments import fit as fit_moments
from uad_jax.nets.dae_unc import Deformer, Evidence, Prior
from uad_jax.ops import losses
from uad_jax.ops.choices import choose
from uad_jax.ops.residual_sign import POLARITIES
from uad_jax.registration import energy, gate
from uad_jax.registration.similarity import check_used
from uad_jax.registration.similarity import distance as distance_by
from uad_jax.registration.warp import warp

DEFAULTS = {'window': 9, 'mse_weight': 50.0}
"""Defaults of the options of a similarity."""


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
  mirror: bool = False,
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
  window: int = DEFAULTS['window'],
  dilation: int = 1,
  similarity: str = 'mse',
  mse_weight: float = DEFAULTS['mse_weight'],
  twin: float = 1.0,
  solve: bool = False,
  beta: float = 0.5,
  polarity: str = 'both',
) -> Method:
  """Builds an auto-encoder that warps a healthy image onto the scan, except at lesions.

  This is the project's own method. The healthy image is predicted from the scan (the
  prior image); lesions are found by a gate, near 1 where a voxel is unlikely to be
  healthy. The deformer minimises, over scans with synthetic (painted) lesions under
  simulated gates g and their lesion-free twins (the same scans without the lesions)
  with g = 0, at strengths lambda0,

    1/2 [D(x, x_ph o phi; omega) + D(x_ph, x o phi^-1; omega o phi^-1)]
      + mean lambda |grad v|^2 + mean mu |v|^2 + 0.1 twin |v(x_painted, g) - v(x, 0)|_1,

  x_ph the prior image, phi = exp(v), D by `similarity`, and lambda, mu and omega as in
  `energy.Gating`. A scorer or a variant may add to the batch: 'strength' [B], which
  replaces lambda0, and 'open' [B], which scales the gate (0 gives the field of a closed
  gate).

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    bins: Slice heights of the healthy scans' moments; 1 for volumes, 0 for none.
    widths: Encoder widths, one for each halving of the grid; the decoder mirrors them.
    latent: Channels of the latent maps of the prior image.
    heads: Ensembled heads of the decoder; their variance is the epistemic spread.
    position: Give the slice height to the decoder.
    denoise: Share of the prior's training scans with synthetic lesions; the target is
      the scan without them.
    deformer_widths: Widths of the deformer.
    deformer_every: Steps of the gate network for each step of the deformer.
    coarse: The velocity field has the image's grid divided by this.
    gate_widths: Widths of the gate network, which predicts the logit of a lesion.
    gate_prior: Give the prior's residual, spread and log-variance to the gate too.
    mirror: Give the mirrored scan to the gate network as well, and average its logit
      over both orientations, see `families.mirror`.
    painters: Kinds of synthetic lesions, names from `synthetic_lesions.PAINTERS`.
    open_by: Evidence that opens the gate, from `gate_calibration.KINDS`; none leaves it
      closed.
    healthy_share: Share of healthy validation voxels, in (0, 1), at which all evidence
      together may open the gate; each kind gets an equal part.
    two_pass: Compute the evidence from the residual after a stiff pass, not from the
      residual of the prior image.
    hinge: Close the gate to exactly 0 below its floor.
    strength: lambda0 at inference.
    strength_range: Range from which lambda0 is drawn log-uniformly in training.
    stiff_strength: lambda0 of the stiff pass (a registration without a gate).
    stiffness_ratio: lambda inside the gate over lambda outside; 1 for a uniform one.
    magnitude: Ratio of mu inside the gate to lambda0; 0 for no mu.
    data_weight: rho of omega; at 0 the similarity sees the lesion.
    window: Edge length of the box of 'ncc', in voxels; odd. Left alone with 'mse'.
    dilation: Voxels by which the gate is dilated for omega.
    similarity: Name of D: 'mse' or 'ncc', see `similarity.distance`.
    mse_weight: Factor of the squared error in D; about 1 / (2 variance) of the healthy
      residual. Left alone with 'ncc'.
    twin: Ten times the weight of the last term of the loss, for the difference between
      a scan with a lesion and its lesion-free twin.
    solve: At inference predict the field of a closed gate, and fill it in inside the
      gate (`Guided.infilled_velocity`), both at lambda0.
    beta: beta of the beta-NLL that trains the prior.
    polarity: Lesions are 'bright', 'dark' or 'both': the synthetic lesions are painted
      so (`synthetic_lesions.one_sided`), and standardised residuals have this sign.

  Raises:
    ValueError: The evidence or similarity is unknown, or an option has no effect.
  """
  gate_calibration.check(open_by, 'dae_unc')
  distance = distance_by(similarity, window, mse_weight)
  check_used('dae_unc', similarity, DEFAULTS, window=window, mse_weight=mse_weight)
  sign = choose('polarity', polarity, POLARITIES, 'dae_unc')
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
    gating,
    sign,
    mirror,
  )

  def prior_loss(params, stats, batch: Batch, key: Key, step):
    key_paint, key_head = jax.random.split(key)
    clean, mask, weight = batch['image'], batch['mask'], losses.voxel_weight(batch)
    image, position = clean, batch['position']
    if denoise:
      image, _ = synthetic_lesions.paint(
        key_paint, clean, mask, painters, share=denoise, polarity=polarity
      )
    usual = nets.usual(stats, position)
    expected = nets.expect(params, usual, image, mask, position)
    # Each head learns from its own half of the batch, which keeps them apart.
    chosen = jax.random.bernoulli(key_head, 0.5, (heads, len(image))) | (heads == 1)
    chosen = chosen.reshape(heads, -1, *[1] * (image.ndim - 1)) * weight[None]
    error = losses.beta_nll(
      clean[None], expected.heads, expected.log_variance[None], beta
    )
    l1 = losses.masked_mean(jnp.abs(clean - expected.image), weight)
    return losses.masked_mean(error, chosen), (stats, {'l1': l1})

  def deformer_loss(params, stats, batch: Batch, key: Key, step):
    twins = painted_twins.draw(key, batch, painters, strength_range, polarity)
    image, mask, g, lambda0 = twins.image, twins.mask, twins.gate, twins.strength
    usual = nets.usual(stats, twins.position)
    expected = nets.expect(params, usual, image, mask, twins.position).image
    expected = jax.lax.stop_gradient(expected)
    velocity = nets.velocity(params, image, expected, g, lambda0)
    both_ways = nets.displacement(jnp.concatenate([velocity, -velocity]))
    omega = gating.data_weight(g) * mask
    data = energy.bidirectional(
      image, expected, omega, *jnp.split(both_ways, 2), distance
    )
    total = data + energy.regularisation(velocity, g, lambda0, gating)
    of_painted, of_twin = jnp.split(velocity, 2)
    difference = energy.twin_difference(of_painted, of_twin, jnp.split(g, 2)[0])
    weight = jnp.tile(twins.weight, 2)
    value = losses.example_mean(total, weight)
    value += 0.1 * twin * losses.example_mean(difference, twins.weight)
    return value, (stats, {'data': losses.example_mean(data, weight)})

  def gate_loss(params, stats, batch: Batch, key: Key, step):
    position = batch['position']
    usual = nets.usual(stats, position)

    def predict(image, mask):
      if not gate_prior:
        return nets.logit(params, usual, image, mask)
      expected = nets.expect(params, usual, image, batch['mask'], position)
      return nets.examine(params, usual, image, mask, expected).evidence['learned']

    value, metrics = painted_lesions.loss(predict, batch, key, painters, polarity)
    return value, (stats, metrics)

  def infer(params, stats, batch: Batch, key: Key):
    image, mask, position = batch['image'], batch['mask'], batch['position']
    usual = nets.usual(stats, position)
    expected = nets.expect(params, usual, image, mask, position)
    judgement = nets.examine(params, usual, image, mask, expected)
    evidence = judgement.evidence
    g = gate_calibration.open_gate(
      stats['healthy'], evidence, mask, open_by, healthy_share, hinge
    )
    if 'open' in batch:
      g = g * losses.per_example(batch['open'], g)
    lambda0 = batch.get('strength', jnp.full((len(image),), strength))
    predict = nets.infilled_velocity if solve else nets.velocity
    velocity = predict(params, image, expected.image, g, lambda0)
    displacement = nets.displacement(velocity)
    reconstruction = warp(expected.image, displacement) * mask
    # The variance before the warp: residuals count less where healthy scans differ.
    log_variance = expected.log_variance
    z = gate.standardised_residual(image, reconstruction, log_variance, sign=sign)
    posterior = jax.nn.sigmoid(evidence['learned']) * mask
    return {
      'latent': expected.latent,
      'prior': expected.image,
      'prior_log_variance': log_variance,
      'usual': usual.mean * mask,
      'usual_log_variance': usual.log_variance,
      'spread': expected.spread,
      'prior_members': jnp.moveaxis(expected.heads, 0, 1),
      'stiff': judgement.aligned * mask,
      'stiff_log_variance': log_variance,
      'standardised': evidence['standardised'],
      'gate': g,
      'posterior': posterior,
      'posterior_logit': evidence['learned'],
      'velocity': velocity,
      'displacement': displacement,
      'reconstruction': reconstruction,
      'reconstruction_log_variance': log_variance,
      'fused': posterior * jnp.maximum(z, 0.0) * mask,
    }

  objectives = {
    'usual': Objective(fit_moments('usual')),
    'prior': Objective(prior_loss, PRIOR, stage=1),
    'deformer': Objective(deformer_loss, ('deformer',), stage=2, every=deformer_every),
    'gate': Objective(gate_loss, ('gate',), stage=2),
    'calibration': Objective(nets.calibrate, stage=3, split='val'),
  }
  kinds = {'usual': 'moments', 'healthy': 'histogram'}
  return Method(nets.init, objectives, infer, kinds)
