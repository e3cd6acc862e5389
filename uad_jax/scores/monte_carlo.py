"""Monte Carlo scorer: compares an image with outputs of repeated random inferences."""

from uad_jax.method import Scorer
from uad_jax.uncertainty import anomaly_maps, estimators


def make(
  kind: str = 'mahalanobis',
  samples: int = 16,
  of: str = 'reconstruction',
  floor: float | None = None,
  sign: str = 'absolute',
) -> Scorer:
  """Builds a scorer that derives anomaly maps from repeated random inferences.

  It is the scorer `uncertainty` with the estimator 'draws', which describes the kinds.
  It suits methods whose inference depends on the key (dropout, a sampled latent,
  diffusion). For a deterministic method all samples are equal and the variance is 0.
  With 'mean' it is the Monte Carlo score of Baur et al. 2021.

  Args:
    kind: 'mean', 'variance', 'deviation', 'mahalanobis' or 'mahalanobis_full'.
    samples: Number of inferences, at least 2.
    of: Output to sample, such as 'reconstruction' or 'prior' (the prior image).
    floor: For the two distances: standard deviation added to that of the samples, in
      image units; None for 0.02.
    sign: 'absolute', 'bright' or 'dark', as for `uncertainty`.

  Returns:
    A scorer of anomaly maps [B, *S, 1], 0 outside the brain mask.
  """
  estimator = estimators.repeated('monte_carlo', of, samples)
  return anomaly_maps.scorer('monte_carlo', estimator, kind, floor, sign)
