"""Scores of how typical a scan is: DoSE, typicality, WAIC, likelihood ratio, kNN.

They work on statistics, likelihoods or features of scans (or slices), and are fitted to
healthy scans. The fit should use scans that the model was not trained on, whose
residuals are as large as those of new scans.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import special
from scipy.spatial import cKDTree

from uad_jax.ops.limits import check_whole


class Kde(NamedTuple):
  """Kernel density estimate of one number, with Gaussian kernels of one width.

  Attributes:
    points: Values [n] of the healthy scans.
    bandwidth: Standard deviation of a kernel.
  """

  points: np.ndarray
  bandwidth: float


def fit_kde(values: np.ndarray) -> Kde:
  """Fits a kernel density estimate with the bandwidth of Scott (1992).

  The bandwidth is the standard deviation (n - 1 in its denominator) times n^(-1/5).

  Args:
    values: [n] numbers, n at least 2.

  Raises:
    ValueError: The values are fewer than 2, not finite or all the same.
  """
  values = np.ravel(np.asarray(values, np.float64))
  if values.size < 2 or not np.isfinite(values).all() or np.ptp(values) == 0:
    raise ValueError(
      f'a density needs 2 or more finite values that differ; there are {values.size}, '
      f'{np.sum(np.isfinite(values))} of them finite'
    )
  return Kde(values, float(values.std(ddof=1) * values.size**-0.2))


def log_density(kde: Kde, values: np.ndarray) -> np.ndarray:
  """Computes the logarithm of a kernel density estimate.

  log p(x) = log sum_i N(x; x_i, h^2) / n, summed in the log, so that it stays finite
  far from all points.

  Args:
    kde: Density with n points.
    values: [m] numbers.

  Returns:
    [m] log densities.
  """
  z = (np.ravel(values)[:, None] - kde.points) / kde.bandwidth
  constant = np.log(kde.points.size * kde.bandwidth * np.sqrt(2 * np.pi))
  return special.logsumexp(-(z**2) / 2, axis=1) - constant


def fit_dose(healthy: Mapping[str, np.ndarray]) -> dict[str, Kde]:
  """Fits the density of states: one density for each statistic of healthy scans.

  Statistics that are the same for all scans (such as the KL divergence of a collapsed
  posterior) have no density and are left out.

  Args:
    healthy: [n] values by name of the statistic.

  Raises:
    ValueError: No statistic varies, or a value is not finite.
  """
  varying = {name: values for name, values in healthy.items() if np.ptp(values) != 0}
  if not varying:
    raise ValueError(
      'a density of states needs a statistic that varies over the healthy scans; of '
      f'{len(healthy)} none does'
    )
  return {name: fit_kde(values) for name, values in varying.items()}


def dose(
  densities: Mapping[str, Kde], statistics: Mapping[str, np.ndarray]
) -> np.ndarray:
  """Computes the density-of-states estimate of scans; low is atypical.

  DoSE of Morningstar et al. (AISTATS 2021), with kernel density estimates: sum_j log
  p_j(T_j(x)) over the statistics T_j. The logs are added, not the densities.

  Args:
    densities: Densities by statistic, from `fit_dose`.
    statistics: [m] values by name; those without density are not used.

  Returns:
    [m] sums of log densities.

  Raises:
    ValueError: A statistic with a density is missing.
  """
  if missing := [name for name in densities if name not in statistics]:
    raise ValueError(
      f'a density of states needs the statistics {", ".join(densities)}; missing are '
      f'{", ".join(missing)}'
    )
  return sum(log_density(kde, statistics[name]) for name, kde in densities.items())


def typicality(values: np.ndarray, healthy: np.ndarray) -> np.ndarray:
  """Computes how far a statistic is from its mean over healthy scans; high is atypical.

  The test of Nalisnick et al. (2019) for a single scan: |T(x) - mean T|. With T = ELBO
  it also calls scans atypical that are more likely than the healthy ones.

  Args:
    values: [m] statistics of scans.
    healthy: [n] statistics of healthy scans.
  """
  return np.abs(np.asarray(values, np.float64) - np.mean(healthy, dtype=np.float64))


def waic(log_likelihoods: np.ndarray) -> np.ndarray:
  """Computes the Watanabe-Akaike criterion over an ensemble; low is atypical.

  WAIC of Choi et al. (2018): E_k[log p_k(x)] - Var_k[log p_k(x)] over the K models, K
  being the denominator of the variance. A likelihood may be replaced by its bound, the
  ELBO. The variance is in squared nats, and dominates for the nats of a whole scan.

  Args:
    log_likelihoods: [K, m] nats, K models and m scans.

  Returns:
    [m] scores.

  Raises:
    ValueError: There are fewer than 2 models.
  """
  log_likelihoods = np.asarray(log_likelihoods, np.float64)
  if log_likelihoods.ndim != 2 or len(log_likelihoods) < 2:
    raise ValueError(
      f'WAIC needs log-likelihoods [K, m] of 2 or more models; their shape is '
      f'{log_likelihoods.shape}'
    )
  return log_likelihoods.mean(0) - log_likelihoods.var(0)


def likelihood_ratio(specific: np.ndarray, general: np.ndarray) -> np.ndarray:
  """Computes the log-likelihood ratio against a general model; low is atypical.

  Ren et al. (NeurIPS 2019): log p(x) - log p_0(x). p_0 is a model of images in general,
  such as one trained on perturbed scans; with a compressor in its place (minus the bits
  of `complexity` times log 2) it is the score of Serra et al. (ICLR 2020).

  Args:
    specific: [m] log-likelihoods under the model of healthy scans.
    general: [m] log-likelihoods under the general model, in the same unit.
  """
  return np.asarray(specific, np.float64) - np.asarray(general, np.float64)


def knn_distance(features: np.ndarray, healthy: np.ndarray, k: int = 5) -> np.ndarray:
  """Computes the distance to the k-th nearest healthy scan; high is atypical.

  Sun et al. (ICML 2022): Euclidean distance of the features after scaling each vector
  to the length 1.

  Args:
    features: [m, F] features of scans, such as the mean of the latent code.
    healthy: [n, F] features of healthy scans, without those of `features`.
    k: Rank of the neighbour, from 1 to n.

  Returns:
    [m] distances in [0, 2].

  Raises:
    ValueError: k is not in [1, n], or the numbers of features differ.
  """
  check_whole('k', k, 1, len(healthy))
  if np.shape(features)[1:] != np.shape(healthy)[1:]:
    raise ValueError(
      f'kNN is given features of shape {np.shape(features)} and healthy features of '
      f'shape {np.shape(healthy)}; the numbers of features must be equal'
    )
  queries, points = (
    array / np.maximum(np.linalg.norm(array, axis=1, keepdims=True), 1e-12)
    for array in (np.asarray(features, np.float64), np.asarray(healthy, np.float64))
  )
  return cKDTree(points).query(queries, [k])[0][:, 0]
