"""Template of healthy scans, by rounds of groupwise registration.

Guimond et al. 2000; Joshi et al. 2004, "Unbiased diffeomorphic atlas construction". The
template of round 0 is the voxelwise mean m and variance s^2 of the scans. Round r
registers each scan x_i to the template before it, x_i ~ m o phi_i, and averages the
inversely warped scans x_i o phi_i^-1 and their squares. The template is then moved by
the inverse of the mean of the displacements of phi_i^-1, so that it has no shape of its
own. Its variance is that of the scans after registration.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from uad_jax.method import Array, Batch, Bound, Objective, Stats
from uad_jax.methods.families import healthy_responses, voxel_moments
from uad_jax.ops import voxel_stats
from uad_jax.ops.losses import example_mean
from uad_jax.registration import flow, gauss_newton
from uad_jax.registration.gauss_newton import Problem, Schedule
from uad_jax.registration.warp import warp, warped


class Groupwise(NamedTuple):
  """Rounds of groupwise registration, in which all voxels count.

  Attributes:
    shape: Spatial shape of the scans.
    channels: Number of contrasts.
    bins: Slice heights at which the template is kept; 1 for volumes.
    rounds: Number of rounds, each a stage of the training.
    smooth: Standard deviation in voxels of the Gaussian that smooths round 0.
    floor: Smallest standard deviation of the scans at a voxel, in image units.
    stiffness: lambda of the registrations.
    whole: Gauss-Newton steps of the first registration.
    further: Steps of each registration of the warped template.
    compositions: Number of registrations of the warped template.
    response: Settings of the responses of the residual; no scales for none.
  """

  shape: tuple[int, ...]
  channels: int
  bins: int
  rounds: int
  smooth: float
  floor: float
  stiffness: float
  whole: Schedule
  further: Schedule
  compositions: int
  response: healthy_responses.Settings

  @property
  def stages(self) -> int:
    """Number of stages of the training."""
    return 1 + self.rounds + bool(self.response.scales)

  @property
  def kinds(self) -> dict[str, str]:
    """Kinds of the statistics; target scans can be added to those that come first.

    The last round registers scans to the template before it, which therefore stays; a
    single round registers them to the moments of 'usual'.
    """
    *kept, last = 'usual', *(f'template_{r}' for r in range(1, self.rounds + 1))
    names = [last, 'usual'] if self.rounds != 1 else [last]
    names += ['responses'] if self.response.scales else []
    return dict.fromkeys(names, 'registered') | {
      name: 'template' for name in kept if name not in names
    }

  def empty(self) -> Stats:
    """Creates the sums of all stages."""
    empty = voxel_stats.empty(self.bins, self.shape, self.channels)
    stats = {'usual': empty}
    for r in range(1, self.rounds + 1):
      shift = voxel_stats.empty(self.bins, self.shape, len(self.shape))
      stats[f'template_{r}'] = {'scans': empty, 'shift': shift}
    if self.response.scales:
      sums = healthy_responses.empty(
        self.response, self.bins, self.shape, self.channels
      )
      stats['responses'] = {'usual': sums, 'registered': sums}
    return stats

  def template(self, stats: Stats, r: int, position: Array) -> tuple[Array, Array]:
    """Returns mean and variance of round r, each [B, *S, C].

    Args:
      stats: The statistics.
      r: Round; 0 for the scans as they are.
      position: Slice heights [B].
    """
    if r == 0:
      mean, variance = voxel_stats.look_up(stats['usual'], position, self.smooth)
      return mean, variance + self.floor**2
    kept = stats[f'template_{r}']
    moments = voxel_stats.look_up(kept['scans'], position, 0.0)
    shift, _ = voxel_stats.look_up(kept['shift'], position, 0.0)
    mean, variance = warped(*moments, flow.invert(shift))
    return mean, variance + self.floor**2

  def objectives(self) -> dict[str, Objective]:
    """Returns the objective of each stage."""
    bounds = (
      Bound(
        'folded', high=0.001, sign_of='folding; a higher stiffness keeps the map one'
      ),
      Bound('misfit', high=1.0, sign_of='a registration that does not converge'),
      Bound('largest', high=max(self.shape) / 4, sign_of='scans that are not aligned'),
    )
    objectives = {'usual': Objective(voxel_moments.fit('usual'))}
    for r in range(1, self.rounds + 1):
      fit = self._fit(r)
      objectives[f'template_{r}'] = Objective(fit, stage=r, bounds=bounds)
    if self.response.scales:
      objectives['responses'] = Objective(self._fit_responses, stage=self.rounds + 1)
    return objectives

  def _registered(self, stats: Stats, r: int, batch: Batch):
    """Registers the template of round r to scans: problem, displacement, inverse."""
    mean, variance = self.template(stats, r, batch['position'])
    count = jnp.ones_like(batch['mask'])
    problem = Problem(batch['image'], mean, variance, count, self.stiffness)
    u = gauss_newton.register_composed(
      problem, self.whole, self.further, self.compositions
    )
    return problem, u, flow.invert(u)

  def _fit(self, r: int) -> Callable:
    """Makes the loss of round r, which is 0."""

    def fit(params, stats, batch: Batch, key, step):
      image, position, weight = batch['image'], batch['position'], batch['weight']
      problem, u, back = self._registered(stats, r - 1, batch)
      kept = stats[f'template_{r}']
      updated = {
        name: voxel_stats.observe(kept[name], value, position, weight)
        for name, value in (('scans', warp(image, back)), ('shift', back))
      }
      reached, before = (
        gauss_newton.energy(problem, field)[0] for field in (u, jnp.zeros_like(u))
      )
      metrics = {
        'largest': flow.largest(u),
        'folded': flow.folded_share(u),
        'misfit': reached / (before + 1e-6),
      }
      metrics = {name: example_mean(x, weight) for name, x in metrics.items()}
      return jnp.zeros(()), (stats | {f'template_{r}': updated}, metrics)

    return fit

  def _fit_responses(self, params, stats, batch: Batch, key, step):
    """Observes the residuals that are left, of the scans as they are and registered."""
    problem, u, back = self._registered(stats, self.rounds, batch)
    kept, places = stats['responses'], {'usual': None, 'registered': back}
    moved = gauss_newton.moved(problem, u)
    images = {
      'usual': self.template(stats, 0, batch['position']),
      'registered': (moved.expected, moved.variance),
    }
    updated = {}
    for name, (mean, variance) in images.items():
      y = healthy_responses.of_residual(self.response, batch, mean, jnp.log(variance))
      updated[name] = healthy_responses.observe(kept[name], y, batch, places[name])
    return jnp.zeros(()), (stats | {'responses': updated}, {})
