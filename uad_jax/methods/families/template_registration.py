"""Parts of methods whose network registers a template to each scan in one pass.

The template is the voxelwise mean of the healthy training scans. Stage 0 fits it, stage
1 trains the network, stage 2 warps each training scan back to the template and fits
mean and variance of the registered scans, which inference warps onto a new scan.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from uad_jax.method import (
  Array,
  Batch,
  Bound,
  Key,
  Method,
  Metrics,
  Objective,
  Outputs,
  Params,
  Stats,
)
from uad_jax.methods.families import robust_registration, voxel_moments
from uad_jax.methods.families.robust_registration import Settings
from uad_jax.ops import losses, voxel_stats
from uad_jax.ops.choices import check_choice
from uad_jax.ops.limits import check_number
from uad_jax.registration import flow
from uad_jax.registration.gauss_newton import Problem
from uad_jax.registration.warp import warp, warped

PAIRINGS = ('atlas', 'scans')
"""Images that the network warps in training: the template, or other scans."""


class Pair(NamedTuple):
  """Images to register.

  Attributes:
    moving: Images that are warped [B, *S, C].
    fixed: Images that they are warped onto, as moving.
    weight: Weights of the pairs [B], 0 for padding.
    strength: Strengths of the regularisation [B] that a batch asks for, or None.
  """

  moving: Array
  fixed: Array
  weight: Array
  strength: Array | None = None


def pairs_of_scans(batch: Batch) -> Pair:
  """Pairs each scan of a batch with another one.

  Sorted by slice height, each is paired with the next, and the last with the one before
  it, so that slices of about the same height meet. Volumes have one height and keep
  their random order.

  Args:
    batch: Images, slice heights and weights of two or more scans.

  Raises:
    ValueError: The batch has one scan.
  """
  count = len(batch['weight'])
  if count < 2:
    raise ValueError(
      "template_registration: pairing 'scans' needs batches of 2 or more scans; this "
      'one has 1'
    )
  order = jnp.argsort(batch['position'])
  following = jnp.concatenate([order[1:], order[-2:-1]])
  fixed, moving = batch['image'][order], batch['image'][following]
  return Pair(moving, fixed, batch['weight'][order] * batch['weight'][following])


def fields_of(network: nn.Module) -> Callable[[Key, Array], tuple[Params, Stats]]:
  """Returns the start, see `make_method`, of a network called with two images."""
  return lambda key, image: ({'field': network.init(key, image, image)['params']}, {})


def make_method(
  start: Callable[[Key, Array], tuple[Params, Stats]],
  loss: Callable[[Params, Stats, Pair, Key], tuple[Array, tuple[Stats, Metrics]]],
  predict: Callable[[Params, Pair, Key], Outputs],
  shape: tuple[int, ...],
  channels: int,
  bins: int,
  pairing: str,
  smooth: float,
  floor: float,
  refinement: Settings | None = None,
  change: Callable[[Params, Batch], Array] | None = None,
) -> Method:
  """Builds a method from the loss and the prediction of a registration network.

  At inference a batch may hold 'moving' [B, *S, C], images that are registered to the
  scans in the place of the template. The outputs of the deformation are theirs then;
  the expected images stay warps of the template and are of no use.

  Args:
    start: (key, image [1, *S, C]) -> parameters 'field' and maybe 'template', and
      statistics of their training.
    loss: (params, stats, pair, key) -> scalar and (stats, metrics).
    predict: (params, pair, key) -> outputs, among them 'displacement'.
    shape: Spatial shape of the scans.
    channels: Number of contrasts.
    bins: Slice heights at which the template is kept; 1 for volumes.
    pairing: Pairs of the training: 'atlas' warps the template onto each scan, 'scans'
      another scan of the batch (`pairs_of_scans`).
    smooth: Standard deviation in voxels of the Gaussian that smooths the template.
    floor: Smallest standard deviation of the scans at a voxel, in image units.
    refinement: Settings of a registration at inference that starts from the network's
      displacement; None keeps it. Its variants are those of `robust_registration`.
    change: (params, batch) -> image [B, *S, C] that is added to the mean of the
      training scans, by the parameters 'template'; None keeps the mean.

  Raises:
    ValueError: `pairing` is unknown, or a number is outside of its range.
  """
  check_choice('pairing', pairing, PAIRINGS, 'template_registration')
  check_number('template_registration: smooth', smooth, 0)
  check_number('template_registration: floor', floor, 0, above=True)

  def to_template(params, stats, batch: Batch) -> Pair:
    moving, _ = voxel_stats.look_up(stats['usual'], batch['position'], smooth)
    if change is not None:
      moving += change(params, batch)
    return Pair(moving, batch['image'], batch['weight'], batch.get('strength'))

  def init(key, batch: Batch):
    image = batch['image'][:1]
    empty = voxel_stats.empty(bins, shape, channels)
    params, stats = start(key, image)
    return params, stats | {'usual': empty, 'registered': empty}

  def train(params, stats, batch: Batch, key, step):
    by_scans = pairing == 'scans'
    pair = pairs_of_scans(batch) if by_scans else to_template(params, stats, batch)
    return loss(params, stats, pair, key)

  def fit(params, stats, batch: Batch, key, step):
    weight = batch['weight']
    u = predict(params, to_template(params, stats, batch), key)['displacement']
    moments = voxel_stats.observe(
      stats['registered'],
      warp(batch['image'], flow.invert(u)),
      batch['position'],
      weight,
    )
    metrics = {'largest': flow.largest(u), 'folded': flow.folded_share(u)}
    metrics = {name: losses.example_mean(x, weight) for name, x in metrics.items()}
    return jnp.zeros(()), (stats | {'registered': moments}, metrics)

  def infer(params, stats, batch: Batch, key):
    mask, position = batch['mask'], batch['position']
    pair = to_template(params, stats, batch)
    pair = pair._replace(moving=batch.get('moving', pair.moving))
    outputs = predict(params, pair, key)

    def moments(name, width):
      mean, variance = voxel_stats.look_up(stats[name], position, width)
      return mean, jnp.log(variance + floor**2)

    usual, usual_log_variance = moments('usual', smooth)
    prior, prior_log_variance = moments('registered', 0.0)
    expected, log_variance = warped(prior, prior_log_variance, outputs['displacement'])
    refined: Outputs = {}
    if refinement is not None:
      count = 1 - batch.get('hidden', jnp.zeros_like(mask))
      strength = robust_registration.strength_of(batch, refinement.stiffness)
      problem = Problem(
        batch['image'], prior, jnp.exp(prior_log_variance), count, strength
      )
      start = batch.get('field', outputs['displacement'])
      refined = robust_registration.refine(refinement, problem, start, batch, key)
      refined['reconstruction'] = refined['reconstruction'] * mask
    return {
      'usual': usual * mask,
      'usual_log_variance': usual_log_variance,
      'prior': prior * mask,
      'prior_log_variance': prior_log_variance,
      'reconstruction': expected * mask,
      'reconstruction_log_variance': log_variance,
      **outputs,
      **refined,
    }

  learnt = ('field',) if change is None else ('field', 'template')
  bounds = (
    Bound('folded', high=0.01, sign_of='folding; a stiffer field keeps the map one'),
    Bound('largest', high=max(shape) / 4, sign_of='scans that are not aligned'),
  )
  objectives = {
    'usual': Objective(voxel_moments.fit('usual')),
    'field': Objective(train, learnt, stage=1),
    'registered': Objective(fit, stage=2, bounds=bounds),
  }
  kinds = {'usual': 'template', 'registered': 'registered'}
  return Method(init, objectives, infer, kinds)
