"""Online EM for a mixture of Gaussians with diagonal covariances.

The vectors are positions and residual descriptors of cells or components, so that the
mixture's density is high where such residuals are frequent at such a place.

Axes: N vectors, K components, F features.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from uad_jax.online.array_checks import check_vectors
from uad_jax.ops.limits import check_number, check_whole

Array = np.ndarray


class Mixture(NamedTuple):
  """Parameters of a mixture.

  Attributes:
    weight: Weights, float64 [K]; their sum is 1.
    mean: float64 [K, F].
    variance: Diagonals of the covariances, float64 [K, F].
  """

  weight: Array
  mean: Array
  variance: Array


class OnlineMixture(NamedTuple):
  """State of online EM: running sufficient statistics and averaged parameters.

  Attributes:
    step: Number of steps so far, int64 [].
    weight: Running mean of the responsibilities r_k, float64 [K].
    first: Running mean of r_k x, float64 [K, F].
    second: Running mean of r_k x^2, float64 [K, F].
    averaged: Number of steps in the averaged parameters, int64 [].
    average_weight: Averaged weights, float64 [K].
    average_mean: Averaged means, float64 [K, F].
    average_variance: Averaged variances, float64 [K, F].
  """

  step: Array
  weight: Array
  first: Array
  second: Array
  averaged: Array
  average_weight: Array
  average_mean: Array
  average_variance: Array


class Rule(NamedTuple):
  """Constants of online EM.

  Attributes:
    kappa: Exponent of the step size t^-kappa, in (0.5, 1].
    average_after: Step after which the parameters are averaged.
    least_variance: Smallest variance of a feature in a component.
  """

  kappa: float = 0.6
  average_after: int = 0
  least_variance: float = 1e-6


def begin(
  vectors: Array, components: int, rng: np.random.Generator, step: int = 1
) -> OnlineMixture:
  """Makes the first state from vectors of healthy scans.

  The means are vectors drawn as k-means++ does (Arthur and Vassilvitskii 2007), each
  with probability proportional to the squared distance from those drawn before; all
  variances are those of all vectors.

  Args:
    vectors: Vectors [N, F] of healthy scans.
    components: Number K of components, at most N.
    rng: Generator of the draws.
    step: Number of steps that the first state stands for, from 1; the larger, the more
      slowly it is forgotten.

  Returns:
    The first state.

  Raises:
    ValueError: There are fewer than K distinct vectors, or values are not finite.
  """
  check_whole('components', components, 1)
  check_whole('step', step, 1)
  vectors = check_vectors('vectors', vectors, np.shape(vectors)[-1])
  if len(distinct := np.unique(vectors, axis=0)) < components:
    raise ValueError(
      f'vectors: {len(distinct)} are distinct; allowed are {components} or more, one '
      'for each component'
    )
  chosen = [int(rng.integers(len(vectors)))]
  square = np.full(len(vectors), np.inf)
  while len(chosen) < components:
    square = np.minimum(square, ((vectors - vectors[chosen[-1]]) ** 2).sum(1))
    chosen.append(int(rng.choice(len(vectors), p=square / square.sum())))
  mean = vectors[chosen]
  weight = np.full(components, 1 / components)
  variance = np.tile(vectors.var(0), (components, 1))
  second = weight[:, None] * (variance + mean**2)
  counts = np.int64(step), np.int64(0)
  first = weight[:, None] * mean
  return OnlineMixture(
    counts[0], weight, first, second, counts[1], weight, mean, variance
  )


def update(state: OnlineMixture, vectors: Array, rule: Rule) -> OnlineMixture:
  """Takes one step of online EM on the vectors of one scan.

  Cappe and Moulines (2009), eq. 12: s' = (1 - g) s + g mean_n s(x_n; theta) with the
  step size g = t^-kappa, and theta from s' as in the M-step. The sufficient statistics
  s(x; theta) are r_k, r_k x and r_k x^2. All vectors of a scan make one step, so that
  a scan has the same weight whatever their number.

  Args:
    state: State so far.
    vectors: Vectors [N, F] of one scan; none leaves the state as it is.
    rule: Constants.

  Returns:
    The new state.

  Raises:
    ValueError: F differs, a value is not finite, or a constant is outside its range.
  """
  check_number('kappa', rule.kappa, 0.5, 1, above=True)
  vectors = check_vectors('vectors', vectors, state.first.shape[1])
  if not len(vectors):
    return state
  joint = _log_joint(current(state, rule), vectors)
  responsibility = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
  step = state.step + 1
  g = float(step) ** -rule.kappa
  moved = state._replace(
    step=np.int64(step),
    weight=(1 - g) * state.weight + g * responsibility.mean(0),
    first=(1 - g) * state.first + g * responsibility.T @ vectors / len(vectors),
    second=(1 - g) * state.second + g * responsibility.T @ vectors**2 / len(vectors),
  )
  return _average(moved, current(moved, rule), rule)


def current(state: OnlineMixture, rule: Rule) -> Mixture:
  """Returns the mixture of the running statistics, by the M-step.

  w_k = s_k, mean_k = first_k / s_k, variance_k = second_k / s_k - mean_k^2, at least
  `rule.least_variance`.
  """
  share = np.maximum(state.weight, np.finfo(np.float64).tiny)[:, None]
  mean = state.first / share
  variance = np.maximum(state.second / share - mean**2, rule.least_variance)
  return Mixture(state.weight / state.weight.sum(), mean, variance)


def averaged(state: OnlineMixture) -> Mixture:
  """Returns the Polyak average of the parameters since step `rule.average_after`.

  Averages vary less than the current parameters at the same step size (Polyak and
  Juditsky 1992; Cappe and Moulines 2009, section 2.3). Before any step is averaged they
  are the parameters of the newest step.
  """
  return Mixture(state.average_weight, state.average_mean, state.average_variance)


def log_density(mixture: Mixture, vectors: Array) -> Array:
  """Computes the log density of vectors under a mixture.

  Args:
    mixture: Mixture of K components.
    vectors: Vectors x [N, F].

  Returns:
    log sum_k w_k N(x; mean_k, variance_k), float64 [N], in nat.

  Raises:
    ValueError: F differs or a value is not finite.
  """
  vectors = check_vectors('vectors', vectors, mixture.mean.shape[1])
  return logsumexp(_log_joint(mixture, vectors), axis=1)


def _log_joint(mixture: Mixture, vectors: Array) -> Array:
  """Log of weight times density of each component, [N, K]."""
  precision = 1 / mixture.variance
  # (x - m)^2 / v, without an array [N, K, F].
  centre = mixture.mean.mean(0)
  x, mean = vectors - centre, mixture.mean - centre
  square = (
    x**2 @ precision.T - 2 * x @ (mean * precision).T + (mean**2 * precision).sum(1)
  )
  constant = np.log(mixture.variance).sum(1) + x.shape[1] * math.log(2 * math.pi)
  with np.errstate(divide='ignore'):
    log_weight = np.log(mixture.weight)  # -inf for a component without any vector
  return log_weight - 0.5 * (np.maximum(square, 0) + constant)


def _average(state: OnlineMixture, mixture: Mixture, rule: Rule) -> OnlineMixture:
  """State whose averaged parameters include those of the newest step."""
  averaging = state.step > rule.average_after
  count = np.int64(state.averaged + averaging)
  share = 1 / count if averaging else 1.0
  pairs = zip(averaged(state), mixture, strict=True)
  mean = [old + share * (new - old) for old, new in pairs]
  return state._replace(
    averaged=count,
    average_weight=mean[0],
    average_mean=mean[1],
    average_variance=mean[2],
  )
