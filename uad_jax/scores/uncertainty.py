"""Uncertainty scorer: standardises the residual by any uncertainty estimator."""

from uad_jax.method import Scorer
from uad_jax.uncertainty import anomaly_maps, estimators


def make(
  estimator: str = 'draws',
  kind: str = 'mahalanobis',
  predicted: bool = False,
  floor: float | None = None,
  sign: str = 'absolute',
  **options,
) -> Scorer:
  """Builds a scorer of anomaly maps from an estimator of predictive uncertainty.

  The estimator gives the mean m and, at each voxel, the covariance S of the expected
  image; x is the scan. Kinds of maps:

  - 'mean': |x - m|.
  - 'variance', 'deviation': the uncertainty itself, trace(S) / C for C channels, and
    its root.
  - 'mahalanobis': the residual standardised by the uncertainty,
    sqrt(r' (S + floor^2 I)^-1 r) with r = x - m; with one contrast |r| / deviation.
  - 'mahalanobis_full': sqrt(r_i (P r)_i) at voxel i, P = (S + floor^2 I)^-1, S the
    covariance of all voxels of an image over the samples (Behrendt et al. 2024, arXiv
    2407.12474, with a floor of 0.1; negative values are set to 0 here).

  Args:
    estimator: Key of `estimators.ESTIMATORS`: 'draws', 'members', 'augmented',
      'transformed' or 'predicted'.
    kind: 'mean', 'variance', 'deviation', 'mahalanobis' or 'mahalanobis_full'.
    predicted: Add the variance that the method predicts (`estimators.with_predicted`).
    floor: For the two distances: standard deviation added to the estimated one, in
      image units; None for 0.02.
    sign: 'absolute', 'bright' or 'dark'. For 'mean' |x - m|, x - m or m - x; the other
      maps are 0 where x - m has the other sign, except those of 'displacement'.
    **options: Options of the estimator, such as `of`, the name of the output
      ('reconstruction', 'prior', 'sampled', 'displacement'), and `samples`.

  Returns:
    A scorer of anomaly maps [B, *S, 1], 0 outside the brain mask.

  Raises:
    ValueError: A name or an option is unknown, or the estimator does not serve the
      kind.
  """
  estimate = estimators.make(estimator, **options)
  if predicted:
    if estimator == 'predicted':
      raise ValueError("uncertainty: 'predicted' is the variance of the method already")
    estimate = estimators.with_predicted(estimate)
  score = anomaly_maps.scorer('uncertainty', estimate, kind, floor, sign)
  # Every evaluation measures the predicted deviation of the reconstruction anyway.
  known = (estimator, estimate.of) == ('predicted', 'reconstruction')
  if kind == 'deviation' and sign == 'absolute' and not known:
    return anomaly_maps.Deviation(estimate.of, score)
  return score
