"""Improbability: how unlikely the model finds what is at each place."""

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.ops.filters import gaussian_smooth


def make(smooth: float = 0.0) -> Scorer:
  """-log p in the mask, in nats; [B, *S, 1].

  Pinaya et al., "Unsupervised brain imaging 3D anomaly detection and segmentation with
  transformers", Medical Image Analysis 79, 2022: p is the probability of the code at
  the voxel's place given the codes before it. The method gives -log p as
  'improbability'. It is as coarse as the codes' grid; `healing` finds where in a place
  the image differs.

  Args:
    smooth: Standard deviation of a Gaussian over the map, in voxels.
  """

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    (improbability,) = need(infer(batch, key), 'likelihood', 'improbability')
    return gaussian_smooth(improbability, smooth) * batch['mask']

  return score
