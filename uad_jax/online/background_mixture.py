"""Mixture of Gaussians at each cell of a grid, which learns the usual residuals there.

The background model of video surveillance (Stauffer and Grimson, CVPR 1999) applied to
residual descriptors of aligned scans: a scan takes the place of a video frame, a cell
(or a voxel) that of a pixel. A component that many scans match is usual at its place; a
lesion matches none.

Axes: *G grid of cells, K components, D descriptor values.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from uad_jax.online.array_checks import check_map
from uad_jax.ops.limits import check_number, check_whole

Array = np.ndarray


class Background(NamedTuple):
  """Mixture at each cell; the components are sorted by weight / sigma, falling.

  Attributes:
    weight: Weights, float32 [*G, K]; they sum to 1 at cells that were observed. A
      component of weight 0 is unused.
    mean: float32 [*G, K, D].
    variance: Isotropic variance of each component, float32 [*G, K].
    votes: Number of scans that made or matched the component, int32 [*G, K]; of
      subjects, if each subject has one vote.
  """

  weight: Array
  mean: Array
  variance: Array
  votes: Array


class Rule(NamedTuple):
  """Constants of the update and of the decision; descriptors are in standard units.

  Attributes:
    rate: Learning rate a, in (0, 1).
    match: Largest distance of a match, in standard deviations.
    usual: Share T of the weight that the usual components exceed together, in [0, 1).
    first_variance: Variance of a new component.
    first_weight: Weight of a new component before the weights are normalised.
    least_variance: Smallest variance of a component; without it a constant residual
      would narrow its component until nothing matches.
  """

  rate: float = 0.05
  match: float = 2.5
  usual: float = 0.7
  first_variance: float = 1.0
  first_weight: float = 0.05
  least_variance: float = 0.01


def empty(grid: Sequence[int], components: int, values: int) -> Background:
  """Creates mixtures without any used component.

  Args:
    grid: Sizes of the axes *G.
    components: Number K of components.
    values: Number D of descriptor values.

  Returns:
    Mixtures in which all weights are 0.
  """
  check_whole('components', components, 1)
  check_whole('values', values, 1)
  shape = (*grid, components)
  return Background(
    np.zeros(shape, np.float32),
    np.zeros((*shape, values), np.float32),
    np.ones(shape, np.float32),
    np.zeros(shape, np.int32),
  )


def update(
  state: Background, descriptors: Array, observed: Array, rule: Rule
) -> Background:
  """Adds a scan to the mixture of each observed cell.

  Stauffer and Grimson (1999), eqs. 5 to 8. The descriptor x matches the first component
  with |x - mean|^2 / D < (match sigma)^2. Weights become (1 - a) w + a 1[match]; the
  matched component moves, with rho = a / w, to mean' = (1 - rho) mean + rho x and
  variance' = (1 - rho) variance + rho |x - mean'|^2 / D. Without a match x replaces the
  component of the smallest weight / sigma. The paper takes rho = a N(x; mean, sigma),
  which is almost 0 for several values; a / w makes the mean of a component the average
  of what it matched (Power and Schoonees 2002).

  Args:
    state: Mixtures so far.
    descriptors: Residual descriptors of the scan [*G, D].
    observed: Cells inside the brain, bool [*G]; the others keep their mixture.
    rule: Constants.

  Returns:
    The new mixtures, sorted.

  Raises:
    ValueError: The grid or D differs, a value is not finite, or a constant is outside
      its range.
  """
  _check_rule(rule)
  x = check_map('descriptors', descriptors, _descriptor_shape(state))
  observed = check_map('observed', observed, state.weight.shape[:-1]) > 0
  component, matched = _first_match(state, x, rule)
  index = np.arange(state.weight.shape[-1])
  chosen = matched[..., None] & (index == component[..., None])
  replaced = ~matched[..., None] & (index == index[-1])

  a = np.float32(rule.rate)
  weight = (1 - a) * state.weight + a * chosen
  rho = chosen * (a / np.maximum(weight, a))  # a matched weight is a or more
  mean = state.mean + rho[..., None] * (x[..., None, :] - state.mean)
  variance = (1 - rho) * state.variance + rho * _square_distance(mean, x)
  moved = Background(
    np.where(replaced, np.float32(rule.first_weight), weight),
    np.where(replaced[..., None], x[..., None, :], mean),
    np.where(replaced, np.float32(rule.first_variance), variance),
    np.where(replaced, 1, state.votes + chosen).astype(np.int32),
  )
  return _keep_unobserved(state, _sorted(moved, rule), observed)


def usual(
  state: Background, descriptors: Array, rule: Rule, subjects: int = 1
) -> Array:
  """Decides at which cells a scan matches a usual component.

  Usual are the first components, by weight / sigma, whose weights together exceed
  `rule.usual` (Stauffer and Grimson 1999, eq. 9).

  Args:
    state: Mixtures.
    descriptors: Residual descriptors of the scan [*G, D].
    rule: Constants.
    subjects: Smallest number of votes of a component that counts as usual.

  Returns:
    bool [*G].

  Raises:
    ValueError: The grid or D differs, a value is not finite, or a constant is outside
      its range.
  """
  _check_rule(rule)
  check_whole('subjects', subjects, 1)
  x = check_map('descriptors', descriptors, _descriptor_shape(state))
  component, matched = _first_match(state, x, rule)
  before = np.cumsum(state.weight, -1) - state.weight
  counts = (before <= rule.usual) & (state.votes >= subjects)
  return matched & np.take_along_axis(counts, component[..., None], -1)[..., 0]


def _check_rule(rule: Rule) -> None:
  """Checks the constants of a rule."""
  check_number('rate', rule.rate, 0, 1, above=True)
  check_number('usual', rule.usual, 0, 1)
  for name in ('match', 'first_variance', 'first_weight', 'least_variance'):
    check_number(name, getattr(rule, name), 0, above=True)


def _descriptor_shape(state: Background) -> tuple[int, ...]:
  """Shape [*G, D] of the descriptors that belong to a state."""
  *grid, _, values = state.mean.shape
  return (*grid, values)


def _square_distance(mean: Array, x: Array) -> Array:
  """Mean over D of the squared distance to each component, [*G, K]."""
  return ((x[..., None, :] - mean) ** 2).mean(-1)


def _first_match(state: Background, x: Array, rule: Rule) -> tuple[Array, Array]:
  """Index of the first matching component, and whether there is one, each [*G]."""
  near = _square_distance(state.mean, x) < rule.match**2 * state.variance
  near &= state.weight > 0
  return near.argmax(-1), near.any(-1)


def _sorted(state: Background, rule: Rule) -> Background:
  """Components with normalised weights and bounded variance, by weight / sigma."""
  weight = state.weight / state.weight.sum(-1, keepdims=True)
  variance = np.maximum(state.variance, np.float32(rule.least_variance))
  order = np.argsort(-weight / np.sqrt(variance), -1, kind='stable')
  return Background(
    np.take_along_axis(weight, order, -1),
    np.take_along_axis(state.mean, order[..., None], -2),
    np.take_along_axis(variance, order, -1),
    np.take_along_axis(state.votes, order, -1),
  )


def _keep_unobserved(old: Background, new: Background, observed: Array) -> Background:
  """The new mixtures at observed cells, the old ones elsewhere."""

  def choose(before: Array, after: Array) -> Array:
    where = observed.reshape(observed.shape + (1,) * (after.ndim - observed.ndim))
    return np.where(where, after, before)

  return Background(*map(choose, old, new))
