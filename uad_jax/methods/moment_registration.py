"""Mean and variance of healthy scans, registered to each scan at test time.

A template, the voxelwise mean and variance of the healthy scans after they were
registered to each other, is warped to the scan by a displacement that is found for this
scan alone (`registration.gauss_newton`). Voxels that stay far from the template count
less for the registration, so that it follows normal variability and not lesions. No
network is trained, unless one is asked for that also tells which voxels are to count
less.

Stages: 0 fits mean and variance of the scans as they are; the next ones are rounds of
groupwise registration (`families.groupwise_template`); the next fits the healthy
variance of the residual that is left at several scales (`families.healthy_responses`);
a last one trains the network.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.method import Batch, Method, Objective
from uad_jax.methods.families import (
  healthy_responses,
  painted_lesions,
  robust_registration,
)
from uad_jax.methods.families.groupwise_template import Groupwise
from uad_jax.nets.dae_unc import Evidence, Usual
from uad_jax.ops import scale_space
from uad_jax.ops.choices import choose
from uad_jax.ops.limits import check_number, check_whole
from uad_jax.ops.residual_sign import POLARITIES
from uad_jax.registration import gauss_newton
from uad_jax.registration.gauss_newton import Problem, Schedule
from uad_jax.registration.warp import warped


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  bins: int = 1,
  rounds: int = 2,
  smooth: float = 1.0,
  floor: float = 0.03,
  stiffness: float = 8.0,
  first_stiffness: float = 64.0,
  reweightings: int = 2,
  freedom: float = 32.0,
  steps: tuple[int, ...] = (8, 6, 1),
  refinement: tuple[int, ...] = (4, 1),
  solves: int = 8,
  damping: float = 0.1,
  compositions: int = 2,
  draws: int = 0,
  scales: tuple[float, ...] = (1.0, 2.0),
  limit: float = 4.0,
  scale_floor: float = 0.5,
  gate_widths: Sequence[int] = (),
  painters: Sequence[str] = (),
  polarity: str = 'both',
) -> Method:
  """Builds the registration of healthy moments, in 2-D or 3-D.

  The template of round 0 is the voxelwise mean m and variance s^2 of the scans, as in
  the method `atlas`; further rounds register the scans to it and average them anew
  (`groupwise_template`). Its variance is that of the scans after registration.

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

  With `gate_widths` a U-Net, which sees the scan and the moments of the scans as they
  are, learns from painted lesions the probability p of a lesion (as in `dae_unc`). The
  weights are then multiplied by 1 - p, and the output 'fused' is sqrt(p) T.

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
    gate_widths: Widths of the U-Net that predicts p; none for no network.
    painters: Kinds of synthetic lesions that it learns from, names from
      `synthetic_lesions.PAINTERS`.
    polarity: Lesions are 'bright', 'dark' or 'both': so are the painted ones, and the
      responses that 'fused' counts.

  Raises:
    ValueError: A number is outside of its range, or there are painters without a
      network, a network without painters or without `scales`.
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
  check_number(f'{where}: smooth', smooth, 0)
  check_number(f'{where}: scale_floor', scale_floor, 0)
  for scale in scales:
    check_number(f'{where}: scales', scale, 0)
  whole, further = (Schedule(tuple(n), solves, damping) for n in (steps, refinement))
  settings = robust_registration.Settings(
    stiffness, reweightings, freedom, further, draws, compositions
  )
  response = healthy_responses.Settings(scales, limit, scale_floor)
  learns = bool(gate_widths)
  if learns != bool(painters) or learns > bool(scales):
    raise ValueError(
      f'{where}: gate_widths {tuple(gate_widths)} with painters {tuple(painters)} and '
      f'scales {tuple(scales)}; a network needs painters and scales, and painters a '
      'network'
    )
  sign = choose('polarity', polarity, POLARITIES, where)
  network = Evidence(gate_widths)
  groups = Groupwise(
    shape,
    channels,
    bins,
    rounds,
    smooth,
    floor,
    stiffness,
    whole,
    further,
    compositions,
    response,
  )

  def init(key, batch):
    if not learns:
      return {}, groups.empty()
    image = batch['image']
    params = network.init(key, image, Usual(image, image), [])
    return {'gate': params['params']}, groups.empty()

  def usual_of(stats, position):
    """Mean and log-variance of the scans as they are."""
    mean, variance = groups.template(stats, 0, position)
    return Usual(mean, jnp.log(variance))

  def logit_of(params, image, usual: Usual):
    """Logit of p for each voxel."""
    return network.apply({'params': params['gate']}, image, usual, [])

  def learn(params, stats, batch: Batch, key, step):
    usual = usual_of(stats, batch['position'])

    def predict(image, mask):
      return logit_of(params, image, usual)

    value, metrics = painted_lesions.loss(predict, batch, key, painters, polarity)
    return value, (stats, metrics)

  def infer(params, stats, batch: Batch, key):
    image, mask, position = batch['image'], batch['mask'], batch['position']
    mean, variance = groups.template(stats, rounds, position)
    log_variance = jnp.log(variance)
    lambda0 = robust_registration.strength_of(batch, stiffness)
    count = 1 - batch.get('hidden', jnp.zeros_like(mask))
    first = jnp.maximum(lambda0, first_stiffness) if reweightings else lambda0
    problem = Problem(image, mean, variance, count, first)
    start = batch.get('field')
    if start is None:
      start = gauss_newton.register(problem, schedule=whole)
    stiff, stiff_log_variance = warped(mean, log_variance, start)
    usual = usual_of(stats, position)
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

    learnt, suspected = {}, 0.0
    if learns:
      logit = logit_of(params, image, usual)
      suspected = jax.nn.sigmoid(logit) * mask
      learnt = {'posterior_logit': logit * mask, 'posterior': suspected}
    outputs = robust_registration.refine(
      settings, problem, start, batch, key, deviation if scales else None, suspected
    )
    if scales:
      outputs['reconstruction_responses'] = responses_of(outputs)
      outputs['usual_responses'] = standardised('usual', *usual)
    if learns:
      deviations = scale_space.magnitude(outputs['reconstruction_responses'], sign)
      learnt['fused'] = jnp.sqrt(suspected) * deviations
    return {
      'prior': mean * mask,
      'prior_log_variance': log_variance,
      'usual': usual.mean * mask,
      'usual_log_variance': usual.log_variance,
      'stiff': stiff * mask,
      'stiff_log_variance': stiff_log_variance,
      **outputs,
      **learnt,
      'reconstruction': outputs['reconstruction'] * mask,
    }

  objectives = groups.objectives()
  if learns:
    objectives['gate'] = Objective(learn, ('gate',), stage=groups.stages)
  return Method(init, objectives, infer, groups.kinds)
