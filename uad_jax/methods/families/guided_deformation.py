"""The networks of the uncertainty-guided deformable auto-encoder at work together.

What is usual, what is expected of a scan, how it has to be deformed, and what speaks
for a lesion; pure functions of (params, stats).
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax.methods.families import gate_calibration
from uad_jax.nets.dae_unc import Deformer, Evidence, Expected, Prior, Usual
from uad_jax.ops import voxel_stats
from uad_jax.registration import flow, gate
from uad_jax.registration.warp import warp

Array = jax.Array

PRIOR = ('encoder', 'decoder', 'heads', 'variance')
"""The networks that `Prior` consists of."""

FLOOR = 0.03
"""Least deviation of what is usual, in image units."""


class Judgement(NamedTuple):
  """What speaks for a lesion, by voxel."""

  aligned: Array  # the prior after the stiff pass, [B, *S, C]
  evidence: dict[str, Array]  # by name, [B, *S, 1], higher is less healthy


class Guided(NamedTuple):
  """The networks, and how they are used.

  Attributes:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    bins: Slice heights at which the usual mean and deviation are kept; 0 without.
    prior: Decodes what is expected.
    deformer: Gives the velocity field.
    judge: Gives the learned evidence.
    judge_sees_prior: Whether it is shown the prior's residual, spread and variance.
    stiff_strength: lambda0 of the pass before evidence is taken; 0 leaves it out.
  """

  shape: tuple[int, ...]
  channels: int
  bins: int
  prior: Prior
  deformer: Deformer
  judge: Evidence
  judge_sees_prior: bool
  stiff_strength: float

  def init(self, key: Array, batch) -> tuple[dict, dict]:
    """(params, stats) before any training."""
    key_prior, key_deformer, key_judge = jax.random.split(key, 3)
    image, mask = batch['image'], batch['mask']
    usual = Usual(image, image)
    prior = self.prior.init(key_prior, image, mask, batch['position'], usual)
    deformer = self.deformer.init(key_deformer, image, image, mask, batch['position'])
    features = [image, mask, mask, image] if self.judge_sees_prior else ()
    judge = self.judge.init(key_judge, image, usual, features)
    params = {'deformer': deformer['params'], 'gate': judge['params']}
    stats = {
      'usual': voxel_stats.empty(self.bins, self.shape, self.channels),
      'healthy': gate_calibration.uncalibrated(),
    }
    return {**prior['params'], **params}, stats

  def usual(self, stats, where: Array) -> Usual:
    """What healthy scans have at each voxel of the slice heights `where` [B]."""
    if not self.bins:
      nothing = jnp.zeros((len(where), *self.shape, self.channels))
      return Usual(nothing, nothing - 4.0)
    mean, variance = voxel_stats.look_up(stats['usual'], where)
    return Usual(mean, jnp.log(variance + FLOOR**2))

  def expect(
    self, params, usual: Usual, image: Array, mask: Array, where: Array
  ) -> Expected:
    """What the latent says of the scans."""
    variables = {'params': {name: params[name] for name in PRIOR}}
    return self.prior.apply(variables, image, mask, where, usual)

  def velocity(
    self, params, image: Array, expected: Array, g: Array, lambda0: Array
  ) -> Array:
    """The field that warps the expected image onto the scan, under a gate."""
    variables = {'params': params['deformer']}
    return self.deformer.apply(variables, image, expected, g, lambda0)

  def displacement(self, velocity: Array) -> Array:
    """Its displacement on the images' grid, [B, *S, d] in voxels."""
    return flow.resize(flow.integrate(velocity), self.shape)

  def logit(
    self, params, usual: Usual, image: Array, prior: Sequence[Array] = ()
  ) -> Array:
    """The learned evidence, [B, *S, 1]."""
    variables = {'params': params['gate']}
    return self.judge.apply(variables, image, usual, jax.lax.stop_gradient(prior))

  def examine(
    self, params, usual: Usual, image: Array, mask: Array, expected: Expected
  ) -> Judgement:
    """All evidence, after the stiff pass if there is one."""
    aligned, log_variance = expected.image, expected.log_variance
    if self.stiff_strength:
      lambda0 = jnp.full((len(image),), self.stiff_strength)
      closed = jnp.zeros_like(mask)
      velocity = self.velocity(params, image, aligned, closed, lambda0)
      aligned = warp(aligned, self.displacement(velocity))
    z = gate.standardised_residual(image, aligned, log_variance)
    spread = jnp.log(expected.spread.mean(-1, keepdims=True) + 1e-6)
    prior = [image - aligned, 0.2 * z, 0.2 * spread, 0.3 * log_variance + 1]
    learned = self.logit(params, usual, image, prior if self.judge_sees_prior else ())
    found = {'standardised': z, 'epistemic': spread, 'learned': learned}
    return Judgement(aligned, {name: value * mask for name, value in found.items()})
