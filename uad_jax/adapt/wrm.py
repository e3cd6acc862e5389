"""Adaptation for distributionally robust training (WRM) against shifts of the scans."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax.augmentation import perturbation_spaces
from uad_jax.method import Adaptation, Batch, Method, Objective
from uad_jax.ops import inner_maximisation
from uad_jax.ops.choices import check_choice
from uad_jax.ops.inner_maximisation import Certificate
from uad_jax.ops.kinks import check_smooth
from uad_jax.ops.limits import check_number, check_whole

TRAINING = 'train'
LOSSES = ('elbo', 'denoising')


class Options(NamedTuple):
  """Options of the inner maximisation, as the arguments of `make`."""

  gamma: float = 10.0
  steps: int = 15
  loss: str = 'elbo'
  space: str = 'pixel'
  nodes: int = 4
  by_scan: bool = False


def make(
  objectives: Sequence[str] = (),
  gamma: float = 10.0,
  steps: int = 15,
  loss: str = 'elbo',
  space: str = 'pixel',
  nodes: int = 4,
  by_scan: bool = False,
  clean: float = 0.0,
) -> Adaptation:
  """Builds an adaptation that trains on the worst shift of each scan (WRM).

  Sinha, Namkoong, Duchi, ICLR 2018: min over theta of the mean of
  phi(x0) = max_x l(theta; x) - gamma c(x, x0). The image x0 of the batch is replaced by
  the approximate maximiser (`inner_maximisation.maximise`: T + 1 gradient steps behind
  a stop-gradient), with the random draws of the training step; an optimiser step then
  takes the gradient of l at that image. It costs at most T + 2 plain steps.

  Cost and gamma: c is the mean over the brain voxels and contrasts of (x - x0)^2, and
  gamma is relative to a loss that is a mean over brain voxels too: with g = d l_i / d x
  of the loss l_i summed over the voxels of scan i, the first step is x0 + g / (2
  gamma). Background and padding stay. The change of a scan depends neither on the
  number of scans in its batch nor, with the right `by_scan`, on their brains (batch
  normalisation couples them all the same). The inner problem is concave where 2 gamma
  exceeds the curvature of that sum: a likelihood with small variances needs a large
  gamma. The metric `rho_hat` is the mean square by which the scans were moved; choose
  gamma so that it is that of the shifts to be withstood.

  Spaces of perturbations: 'pixel', every brain voxel; 'field', a smooth multiplicative
  field and an exponent of the intensities, as between scanners, with the same cost.

  Losses: 'elbo', the loss of the objective at the moved image, whose target moves too.
  'denoising', the mean square over the brain voxels of the reconstruction of the moved
  image (by `Method.infer`) minus the clean image, computed here because the losses of
  methods compare with the image that the networks see. It trains only the parts that
  the reconstruction depends on; variance heads and KL terms need `clean` above 0.
  Statistics see the clean images with 'denoising', and the moved ones with 'elbo'.

  Smooth networks and losses are required: swish, softplus or ELU, not ReLU, and no
  absolute errors; see `ops.kinks` for the limits of this check.

  The adaptation that a config lists last changes the batch first: list `wrm` before
  `augment` and `randomise`, so that the worst shift starts from their image.

  Args:
    objectives: Names of the training objectives to change; () for all on the split
      'train'. 'denoising' needs the name where a method has several.
    gamma: Penalty of the transport cost, above 0.
    steps: T, 0 or more; T + 1 gradient steps are made.
    loss: 'elbo', the objective's loss at the moved image, or 'denoising'.
    space: 'pixel', or 'field' for a smooth field and an exponent of the intensities.
    nodes: Nodes of the field along each axis, 2 or more.
    by_scan: For losses that average over scans, as `dae`; False for those that average
      over all brain voxels of a batch.
    clean: Weight in [0, 1] of the plain loss at the clean image, 0 as published; the
      robust one has the rest.

  Returns:
    An adaptation, Method -> Method, which adds the metrics 'phi', the robust surrogate,
    and 'rho_hat', the mean cost of the shifts. `init` of the method raises ValueError
    for a network or a loss that is not smooth.

  Raises:
    ValueError: An option is out of range, or an objective does not exist.
  """
  options = Options(gamma, steps, loss, space, nodes, by_scan)
  _check(options)
  check_number('wrm: clean', clean, 0, 1)

  def adapt(method: Method) -> Method:
    names = _chosen(method, objectives, options)

    def init(key, batch):
      params, stats = method.init(key, batch)
      for name in names:
        _check_smooth(method, name, options, params, stats, batch, key)
      return params, stats

    robust = {
      name: _robust(method, method.objectives[name], options, clean) for name in names
    }
    return method._replace(init=init, objectives={**method.objectives, **robust})

  return adapt


def certify(
  method: Method,
  name: str,
  params,
  stats,
  batch: Batch,
  key,
  radii: Sequence[float],
  options: Options,
) -> Certificate:
  """Computes the certificate of a trained objective on a batch, with its inner gap.

  `inner_maximisation.certificate` for the loss and the perturbations of `make`. For
  the space 'field' it bounds shifts of that form only. Ramps of the loss have ended.

  Args:
    method: The method without `wrm`.
    name: Objective whose loss is bounded.
    params: Trained parameters.
    stats: Statistics of the method.
    batch: [B, *S, C] images, masks and weights, as `method.Batch`.
    key: Random key of the loss's draws.
    radii: Mean costs rho of shifts, in image units squared.
    options: Options of the inner maximisation.

  Raises:
    ValueError: An option is out of range, the objective does not exist, or its loss or
      networks are not smooth.
  """
  _check(options)
  _chosen(method, (name,), options)
  _check_smooth(method, name, options, params, stats, batch, key)
  evaluate = _loss(method, method.objectives[name], options)
  space = perturbation_spaces.make(batch, options.space, options.nodes, options.by_scan)
  ended = jnp.array(jnp.iinfo(jnp.int32).max)

  def loss(z):
    return evaluate(params, stats, batch, space.image(z), key, ended)[0]

  return inner_maximisation.certificate(
    loss, space.start, space.cost, options.gamma, radii, options.steps
  )


def _check(options: Options) -> None:
  """Raises for an option that is out of range."""
  check_number('wrm: gamma', options.gamma, 0, above=True)
  check_whole('wrm: steps', options.steps, 0)
  check_choice('loss', options.loss, LOSSES, 'wrm')
  check_choice('space', options.space, perturbation_spaces.SPACES, 'wrm')
  check_whole('wrm: nodes', options.nodes, 2)


def _chosen(method: Method, names: Sequence[str], options: Options) -> tuple[str, ...]:
  """Names of the objectives to change."""
  training = [
    name
    for name, objective in method.objectives.items()
    if objective.trains and objective.split == TRAINING
  ]
  for name in names:
    check_choice('training objective', name, training, 'wrm')
  if options.loss == 'denoising' and not names and len(training) > 1:
    raise ValueError(
      "wrm: loss 'denoising' needs the name of the objective that it replaces; there "
      f'are {", ".join(training)}'
    )
  return tuple(names or training)


def _loss(method: Method, objective: Objective, options: Options) -> Callable:
  """Function (params, stats, batch, moved image, key, step) -> (l, (stats, ...))."""

  def elbo(params, stats, batch, image, key, step):
    return objective.loss(params, stats, {**batch, 'image': image}, key, step)

  def denoising(params, stats, batch, image, key, step):
    outputs = method.infer(params, stats, {**batch, 'image': image}, key)
    if 'reconstruction' not in outputs:
      raise ValueError(
        "wrm: loss 'denoising' needs the output reconstruction; this method gives "
        f'{", ".join(sorted(outputs))}'
      )
    square = perturbation_spaces.pixel(batch, options.by_scan).cost.value
    return square(outputs['reconstruction'] - batch['image']), (stats, {})

  return {'elbo': elbo, 'denoising': denoising}[options.loss]


def _robust(
  method: Method, objective: Objective, options: Options, clean: float
) -> Objective:
  """The objective at the maximisers of the inner problem."""
  evaluate = _loss(method, objective, options)

  def loss(params, stats, batch, key, step):
    space = perturbation_spaces.make(
      batch, options.space, options.nodes, options.by_scan
    )
    frozen = jax.lax.stop_gradient(params)  # so that the inner loop is not transposed

    def inner(z):
      return evaluate(frozen, stats, batch, space.image(z), key, step)[0]

    z = inner_maximisation.maximise(
      inner, space.start, space.cost, options.gamma, options.steps
    )
    worst, aux = evaluate(params, stats, batch, space.image(z), key, step)
    total = worst
    if clean or options.loss == 'denoising':
      trained = params if clean else frozen
      plain, plain_aux = objective.loss(trained, stats, batch, key, step)
      total = (1 - clean) * worst + clean * plain
      aux = plain_aux if options.loss == 'denoising' else aux
    stats, metrics = aux
    distance = space.cost.value(z - space.start)
    phi = jax.lax.stop_gradient(worst) - options.gamma * distance
    return total, (stats, {**metrics, 'phi': phi, 'rho_hat': distance})

  return objective._replace(loss=loss)


def _check_smooth(
  method: Method, name: str, options: Options, params, stats, batch, key
) -> None:
  """Raises where the loss of an objective is not smooth in the image."""
  evaluate = _loss(method, method.objectives[name], options)

  def inner(image):
    return evaluate(params, stats, batch, image, key, jnp.array(0))[0]

  label = f"wrm: loss '{options.loss}' of objective '{name}'"
  check_smooth(label, inner, jnp.asarray(batch['image']))
