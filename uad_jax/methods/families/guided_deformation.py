"""Networks of the uncertainty-guided deformable auto-encoder, as pure functions.

They predict the prior image of a scan (its expected healthy image), the velocity field
that warps it onto the scan, and the evidence of lesions, from which the gate follows.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Key, Params, Stats
from uad_jax.methods.families import gate_calibration, mirror
from uad_jax.nets.dae_unc import Deformer, Evidence, Expected, Prior, Usual
from uad_jax.ops import losses, voxel_stats
from uad_jax.registration import energy, flow, gate
from uad_jax.registration.solve import gated_field
from uad_jax.registration.warp import warp

PRIOR = ('encoder', 'decoder', 'heads', 'variance')
"""Networks of `Prior`, by their names in the parameters."""

FLOOR = 0.03
"""Smallest standard deviation assumed of healthy scans at a voxel, in image units."""


class Judgement(NamedTuple):
  """Measures of how unhealthy each voxel looks, and the healthy image used for them.

  Attributes:
    aligned: Prior image after the stiff pass [B, *S, C].
    evidence: Evidence by kind (`gate_calibration.KINDS`), [B, *S, 1], higher is less
      healthy, 0 outside the brain.
  """

  aligned: Array
  evidence: dict[str, Array]


class Guided(NamedTuple):
  """Networks of the uncertainty-guided deformable auto-encoder, and their settings.

  Attributes:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    bins: Slice heights at which mean and variance of healthy scans are kept; 0 for
      none.
    prior: Network that decodes the prior image.
    deformer: Network that predicts the velocity field.
    gate_network: Network that predicts the lesion logit, the learned evidence.
    gate_sees_prior: Give the prior's residual, spread and log-variance to the gate
      network.
    stiff_strength: lambda0 of the stiff pass that aligns the prior image before the
      evidence is computed; 0 leaves the pass out.
    gating: Effect of the gate on the data term and the regularisation.
    sign: Sign of the standardised residual, a key of `ops.residual_sign.SIGNS`.
    mirror: Give the mirrored scan to the gate network (`families.mirror`), and average
      its logit over the scan and the mirrored scan.
  """

  shape: tuple[int, ...]
  channels: int
  bins: int
  prior: Prior
  deformer: Deformer
  gate_network: Evidence
  gate_sees_prior: bool
  stiff_strength: float
  gating: energy.Gating
  sign: str = 'absolute'
  mirror: bool = False

  def init(self, key: Key, batch: Batch) -> tuple[Params, Stats]:
    """Creates the initial parameters of the networks and the initial, empty statistics.

    Args:
      key: Random key.
      batch: [B, *S, C] images and masks, as `method.Batch`; only shapes matter.

    Returns:
      Parameters of the networks in `PRIOR`, of 'deformer' and of 'gate'; and the
      statistics 'usual' (moments of the healthy scans by slice height) and 'healthy'
      (histograms of the evidence in healthy scans).
    """
    key_prior, key_deformer, key_gate = jax.random.split(key, 3)
    image, mask = batch['image'], batch['mask']
    usual = Usual(image, image)
    prior = self.prior.init(key_prior, image, mask, batch['position'], usual)
    deformer = self.deformer.init(key_deformer, image, image, mask, batch['position'])
    features = [image, mask, mask, image] if self.gate_sees_prior else []
    features += mirror.features(image, mask) if self.mirror else []
    gate_network = self.gate_network.init(key_gate, image, usual, features)
    params = {'deformer': deformer['params'], 'gate': gate_network['params']}
    stats = {
      'usual': voxel_stats.empty(self.bins, self.shape, self.channels),
      'healthy': gate_calibration.uncalibrated(),
    }
    return {**prior['params'], **params}, stats

  def usual(self, stats: Stats, position: Array) -> Usual:
    """Returns mean and log-variance of the healthy scans at each voxel.

    Without bins, or while no scan has been fitted, the mean is 0; without bins the
    log-variance is -4.

    Args:
      stats: Statistics, of which 'usual' is read.
      position: Slice heights [B] in [0, 1].

    Returns:
      Mean and log-variance, each [B, *S, C].
    """
    if not self.bins:
      zeros = jnp.zeros((len(position), *self.shape, self.channels))
      return Usual(zeros, zeros - 4.0)
    mean, variance = voxel_stats.look_up(stats['usual'], position)
    return Usual(mean, jnp.log(variance + FLOOR**2))

  def expect(
    self, params: Params, usual: Usual, image: Array, mask: Array, position: Array
  ) -> Expected:
    """Predicts the healthy image expected for each scan, and its log-variance.

    Args:
      params: Parameters, of which those in `PRIOR` are read.
      usual: Mean and log-variance of the healthy scans, from `usual`.
      image: Scans [B, *S, C].
      mask: Brain masks [B, *S, 1].
      position: Slice heights [B] in [0, 1].
    """
    variables = {'params': {name: params[name] for name in PRIOR}}
    return self.prior.apply(variables, image, mask, position, usual)

  def velocity(
    self, params: Params, image: Array, expected: Array, g: Array, lambda0: Array
  ) -> Array:
    """Predicts the velocity field that warps each prior image onto its scan.

    Args:
      params: Parameters, of which 'deformer' is read.
      image: Scans [B, *S, C].
      expected: Prior images [B, *S, C].
      g: Gates [B, *S, 1] in [0, 1], 1 where a voxel is unlikely to be healthy.
      lambda0: Strength of the regularisation outside the gate, [B], above 0.

    Returns:
      [B, *V, d] in voxels of the field's grid *V.
    """
    variables = {'params': params['deformer']}
    return self.deformer.apply(variables, image, expected, g, lambda0)

  def infilled_velocity(
    self, params: Params, image: Array, expected: Array, g: Array, lambda0: Array
  ) -> Array:
    """Predicts velocity fields and fills them in smoothly inside suspected lesions.

    Inside the gate (suspected lesions) the field solves a screened Poisson equation
    (`solve.gated_field`). `lambda0` is the strength both of the field with the closed
    gate and of this equation. Arguments and result are as for `velocity`.
    """
    free = self.velocity(params, image, expected, jnp.zeros_like(g), lambda0)
    g = energy.on_grid(g, free)
    keep = self.gating.data_weight(g)
    strength = losses.per_example(lambda0, g)
    return gated_field(free, keep, *self.gating.maps(g, strength))

  def displacement(self, velocity: Array) -> Array:
    """Integrates velocity fields to displacement fields on the grid of the images.

    Returns:
      [B, *S, d] in voxels, from velocities [B, *V, d].
    """
    return flow.exponential(velocity, self.shape)

  def logit(
    self,
    params: Params,
    usual: Usual,
    image: Array,
    mask: Array,
    prior: Sequence[Array] = (),
  ) -> Array:
    """Predicts the logit of a lesion at each voxel, the evidence 'learned' [B, *S, 1].

    Its gradient does not reach the features of the prior.

    Args:
      params: Parameters, of which 'gate' is read.
      usual: Mean and log-variance of the healthy scans, from `usual`.
      image: Scans [B, *S, C].
      mask: Brain masks [B, *S, 1].
      prior: Features of the prior, each [B, *S, F]; none by default.
    """
    variables = {'params': params['gate']}
    more = mirror.features(image, mask) if self.mirror else []
    features = [*jax.lax.stop_gradient(prior), *more]
    return self.gate_network.apply(variables, image, usual, features)

  def examine(
    self, params: Params, usual: Usual, image: Array, mask: Array, expected: Expected
  ) -> Judgement:
    """Computes several measures of how unhealthy each voxel looks (lesion evidence).

    The prior image is first aligned by the stiff pass, unless `stiff_strength` is 0.

    Args:
      params: Parameters, of which 'deformer' and 'gate' are read.
      usual: Mean and log-variance of the healthy scans, from `usual`.
      image: Scans [B, *S, C].
      mask: Brain masks [B, *S, 1].
      expected: Prior images, from `expect`.
    """
    aligned, log_variance = expected.image, expected.log_variance
    if self.stiff_strength:
      lambda0 = jnp.full((len(image),), self.stiff_strength)
      closed = jnp.zeros_like(mask)
      velocity = self.velocity(params, image, aligned, closed, lambda0)
      aligned = warp(aligned, self.displacement(velocity))
    z = gate.standardised_residual(image, aligned, log_variance, sign=self.sign)
    spread = jnp.log(expected.spread.mean(-1, keepdims=True) + 1e-6)
    prior = [image - aligned, 0.2 * z, 0.2 * spread, 0.3 * log_variance + 1]
    predict = functools.partial(self.logit, params)
    predict = mirror.averaged(predict) if self.mirror else predict
    learned = predict(usual, image, mask, prior if self.gate_sees_prior else [])
    evidence = {'standardised': z, 'epistemic': spread, 'learned': learned}
    evidence = {name: value * mask for name, value in evidence.items()}
    return Judgement(aligned, evidence)

  def calibrate(
    self, params: Params, stats: Stats, batch: Batch, key: Key, step: Array
  ) -> tuple[Array, tuple[Stats, dict]]:
    """Updates the histograms that calibrate the gate with a batch of healthy scans.

    They are in the statistics 'healthy'. It has the signature of `Objective.loss`.

    Returns:
      A loss of 0, the new statistics, and no metrics.
    """
    image, mask, position = batch['image'], batch['mask'], batch['position']
    usual, weight = self.usual(stats, position), losses.voxel_weight(batch)
    expected = self.expect(params, usual, image, mask, position)
    evidence = self.examine(params, usual, image, mask, expected).evidence
    counts = gate_calibration.calibrate(stats['healthy'], evidence, weight)
    return jnp.zeros(()), (stats | {'healthy': counts}, {})
