"""Mean and variance of healthy scans, registered to each scan at test time.

A template, the voxelwise mean and variance of the healthy scans after they were
registered to each other, is warped to the scan by a displacement that is found for this
scan alone (`registration.gauss_newton`). No network is trained. Voxels that stay far
from the template count less for the registration, so that it follows normal
variability and not lesions.

Stages: 0 fits mean and variance of the scans as they are; the next ones are rounds of
groupwise registration (Guimond et al. 2000; Joshi et al. 2004, "Unbiased diffeomorphic
atlas construction"); the last fits the healthy variance of the residual that is left
at several scales (`families.healthy_responses`).
"""

import jax.numpy as jnp

from uad_jax.method import Batch, Bound, Method, Objective
from uad_jax.methods.families import (
  healthy_responses,
  robust_registration,
  voxel_moments,
)
from uad_jax.ops import scale_space, voxel_stats
from uad_jax.ops.limits import check_number, check_whole
from uad_jax.ops.losses import example_mean
from uad_jax.registration import flow, gauss_newton
from uad_jax.registration.gauss_newton import Problem, Schedule
from uad_jax.registration.warp import warp, warped


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  bins: int = 1,
  rounds: int = 2,
  smooth: float = 1.0,
  floor: float = 0.03,
  stiffness: float = 4.0,
  first_stiffness: float = 64.0,
  reweightings: int = 2,
  freedom: float = 32.0,
  steps: tuple[int, ...] = (8, 6, 1),
  refinement: tuple[int, ...] = (4, 2),
  solves: int = 12,
  damping: float = 0.1,
  compositions: int = 0,
  draws: int = 0,
  scales: tuple[float, ...] = (1.0, 2.0),
  limit: float = 4.0,
  scale_floor: float = 0.5,
) -> Method:
  """Builds the registration of healthy moments, in 2-D or 3-D.

  The template of round 0 is the voxelwise mean m and variance s^2 of the scans, as in
  the method `atlas`. Round r registers each scan x_i to the template before it,
  x_i ~ m o phi_i, and averages the inversely warped scans x_i o phi_i^-1 and their
  squares. The template is then moved by the inverse of the mean of the displacements of
  phi_i^-1, so that it has no shape of its own. Its variance is that of the scans after
  registration.

  At inference the displacement minimises the energy of `gauss_newton`, first with all
  voxels and the stiffness `first_stiffness`, then `reweightings` times with `stiffness`
  and the weights of a Student t distribution (`families.robust_registration`, which
  also names the entries that a variant may add to the batch). Then, `compositions`
  times, the template that was warped is registered anew and the displacements are
  composed; so it is in the rounds of the template, without weights. The weights follow
  from T, the root mean square over scales of the residual in its healthy deviation
  (`scores.multiscale`), which finds a region that is a little off throughout and lets a
  thin misaligned edge be registered. Where T exceeds 1 in half of the brain, as before
  the soft steps or on a scan of another kind, it is divided by its median, so that the
  weights never hide most of a scan. With `draws` the
  variance of the scan around the template is increased by that of the registration,
  s^2 + var m(p + u), over draws of u around the solution (`solve_posterior`), in the
  residual of the weights and in 'reconstruction_log_variance'.

  Args:
    shape: Spatial shape of the scans.
    channels: Number of contrasts.
    bins: Slice heights at which the template is kept; 1 for volumes.
    rounds: Rounds of groupwise registration, each a stage of the training.
    smooth: Standard deviation in voxels of the Gaussian that smooths round 0.
    floor: Smallest standard deviation of the scans at a voxel, in image units.
    stiffness: lambda, the weight of the squared differences of the displacement between
      neighbours.
    first_stiffness: lambda while all voxels count.
    reweightings: Number of times that the weights are computed; 0 counts all voxels.
    freedom: nu, degrees of freedom.
    steps: Gauss-Newton steps at each resolution, from the coarsest.
    refinement: The same after each reweighting; its last number is that of the full
      resolution.
    solves: Iterations of conjugate gradients in each step.
    damping: Damping of the steps, see `gauss_newton.Schedule`.
    compositions: Number of registrations of the warped template, each with the steps of
      `refinement`.
    draws: Number of draws of the displacement, returned as 'displacement_members' and
      'reconstruction_members'; 0 counts the displacement as certain.
    scales: Standard deviations in voxels of the Gaussian filters of T. Without any the
      weights follow from the residual, smoothed by a voxel.
    limit: Largest residual that T counts, in healthy standard deviations.
    scale_floor: Share of the typical deviation of a response that is added to that of
      each voxel.

  Raises:
    ValueError: A number is outside of its range.
  """
  where = 'moment_registration'
  check_whole(f'{where}: rounds', rounds, 0)
  check_whole(f'{where}: reweightings', reweightings, 0)
  check_whole(f'{where}: draws', draws, 0)
  check_whole(f'{where}: compositions', compositions, 0)
  for name, value in dict(
    floor=floor,
    stiffness=stiffness,
    first_stiffness=first_stiffness,
    freedom=freedom,
    limit=limit,
  ).items():
    check_number(f'{where}: {name}', value, 0, above=True)
  whole, further = (Schedule(tuple(n), solves, damping) for n in (steps, refinement))
  settings = robust_registration.Settings(
    stiffness, reweightings, freedom, further, draws, compositions
  )
  response = healthy_responses.Settings(scales, limit, scale_floor)
  axes = len(shape)

  def init(key, batch):
    empty = voxel_stats.empty(bins, shape, channels)
    stats = {'usual': empty}
    for r in range(1, rounds + 1):
      shift = voxel_stats.empty(bins, shape, axes)
      stats[f'template_{r}'] = {'scans': empty, 'shift': shift}
    if scales:
      sums = healthy_responses.empty(response, bins, shape, channels)
      stats['responses'] = {'usual': sums, 'registered': sums}
    return {}, stats

  def template(stats, r: int, position):
    """Mean and variance of round r, each [B, *S, C]."""
    if r == 0:
      mean, variance = voxel_stats.look_up(stats['usual'], position, smooth)
      return mean, variance + floor**2
    kept = stats[f'template_{r}']
    moments = voxel_stats.look_up(kept['scans'], position, 0.0)
    shift, _ = voxel_stats.look_up(kept['shift'], position, 0.0)
    mean, variance = warped(*moments, flow.invert(shift))
    return mean, variance + floor**2

  def registered(stats, r: int, batch: Batch):
    """Registers the template of round r to healthy scans; all voxels count."""
    mean, variance = template(stats, r, batch['position'])
    count = jnp.ones_like(batch['mask'])
    problem = Problem(batch['image'], mean, variance, count, stiffness)
    u = gauss_newton.register_composed(problem, whole, further, compositions)
    return problem, u, flow.invert(u)

  def make_fit(r: int):
    def fit(params, stats, batch: Batch, key, step):
      image, position, weight = batch['image'], batch['position'], batch['weight']
      problem, u, back = registered(stats, r - 1, batch)
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

  def fit_responses(params, stats, batch: Batch, key, step):
    problem, u, back = registered(stats, rounds, batch)
    kept, places = stats['responses'], {'usual': None, 'registered': back}
    moved = gauss_newton.moved(problem, u)
    images = {
      'usual': template(stats, 0, batch['position']),
      'registered': (moved.expected, moved.variance),
    }
    updated = {}
    for name, (mean, variance) in images.items():
      y = healthy_responses.of_residual(response, batch, mean, jnp.log(variance))
      updated[name] = healthy_responses.observe(kept[name], y, batch, places[name])
    return jnp.zeros(()), (stats | {'responses': updated}, {})

  def infer(params, stats, batch: Batch, key):
    image, mask, position = batch['image'], batch['mask'], batch['position']
    mean, variance = template(stats, rounds, position)
    log_variance = jnp.log(variance)
    lambda0 = robust_registration.strength_of(batch, stiffness)
    count = 1 - batch.get('hidden', jnp.zeros_like(mask))
    first = jnp.maximum(lambda0, first_stiffness) if reweightings else lambda0
    problem = Problem(image, mean, variance, count, first)
    start = batch.get('field')
    if start is None:
      start = gauss_newton.register(problem, schedule=whole)
    stiff, stiff_log_variance = warped(mean, log_variance, start)
    usual, usual_variance = template(stats, 0, position)
    usual_log_variance = jnp.log(usual_variance)

    healthy = {
      name: healthy_responses.look_up(kept, position)
      for name, kept in stats.get('responses', {}).items()
    }

    def standardised(name, expected, log_variance, displacement=None):
      y = healthy_responses.of_residual(response, batch, expected, log_variance)
      return healthy_responses.standardised(response, y, healthy[name], displacement)

    def responses_of(outputs):
      names = ('reconstruction', 'reconstruction_log_variance', 'displacement')
      return standardised('registered', *(outputs[name] for name in names))

    def deviation(outputs):
      return scale_space.unusual(scale_space.magnitude(responses_of(outputs)), mask)

    outputs = robust_registration.refine(
      settings, problem, start, batch, key, deviation if scales else None
    )
    if scales:
      outputs['reconstruction_responses'] = responses_of(outputs)
      outputs['usual_responses'] = standardised('usual', usual, usual_log_variance)
    return {
      'prior': mean * mask,
      'prior_log_variance': log_variance,
      'usual': usual * mask,
      'usual_log_variance': usual_log_variance,
      'stiff': stiff * mask,
      'stiff_log_variance': stiff_log_variance,
      **outputs,
      'reconstruction': outputs['reconstruction'] * mask,
    }

  bounds = (
    Bound(
      'folded', high=0.001, sign_of='folding; a higher stiffness keeps the map one'
    ),
    Bound('misfit', high=1.0, sign_of='a registration that does not converge'),
    Bound('largest', high=max(shape) / 4, sign_of='scans that are not aligned'),
  )
  objectives = {'usual': Objective(voxel_moments.fit('usual'))}
  for r in range(1, rounds + 1):
    objectives[f'template_{r}'] = Objective(make_fit(r), stage=r, bounds=bounds)
  if scales:
    objectives['responses'] = Objective(fit_responses, stage=rounds + 1)
  return Method(init, objectives, infer)
