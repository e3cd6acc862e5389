"""Likelihood scorer: negative log probability of the latent code at each voxel."""

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.ops.filters import gaussian_smooth


def make(smooth: float = 0.0) -> Scorer:
  """Builds a scorer of the negative log probability of the latent code at each voxel.

  Pinaya et al., "Unsupervised brain imaging 3D anomaly detection and segmentation with
  transformers", Medical Image Analysis 79, 2022: p is the probability of a discrete
  code given the codes before it in the raster order. The method returns -log p, in
  nats, at every voxel as its output 'improbability'. This anomaly map is as coarse as
  the grid of the codes; the scorer `healing` is as fine as the image.

  Args:
    smooth: Standard deviation of a Gaussian that smooths the anomaly map, in voxels.

  Returns:
    A scorer of anomaly maps [B, *S, 1], 0 outside the brain mask.
  """

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    (improbability,) = need(infer(batch, key), 'likelihood', 'improbability')
    return gaussian_smooth(improbability, smooth) * batch['mask']

  return score
