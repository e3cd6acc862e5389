"""Network of features alone, for the detectors that judge them (PatchCore, PaDiM)."""

from collections.abc import Sequence

from uad_jax.features import networks
from uad_jax.method import Batch, Method


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  network: str = 'masked',
  weights: str = '',
  widths: Sequence[int] = (32, 64, 128),
  share: float = 0.5,
  cell: int = 8,
) -> Method:
  """Builds a network whose feature maps are the output.

  'features' are the maps of all levels on the grid of the finest, their channels
  joined. With 'masked' the network is trained by masked auto-encoding, and
  'reconstruction' is the image that its decoder gives when nothing is hidden. The
  adaptations `detector` and `padim` fit a detector to the features.

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    network: 'masked', trained here on the healthy scans (He et al. 2022); 'resnet50' or
      'vgg19', with `weights`, for slices.
    weights: File of their weights, see `features.stored_weights`.
    widths: Channels of the levels of 'masked', from fine to coarse; of the others only
      their number counts, as that of the levels.
    share: Share of the image that is hidden in the training of 'masked'.
    cell: Edge length of a hidden cell, in voxels.

  Raises:
    ValueError: An option is not allowed, or the weights cannot be read.
  """
  extractor = networks.build(
    network, weights, channels, widths, share, cell, 'feature_network'
  )

  def init(key, batch: Batch):
    return extractor.init(key, batch), {}

  def infer(params, stats, batch: Batch, key):
    maps = extractor.maps(params, batch['image'])
    outputs = {'features': networks.joined(maps)}
    if extractor.decoded is not None:
      decoded = extractor.decoded(params, batch['image'])
      outputs['reconstruction'] = decoded * batch['mask']
    return outputs

  return Method(init, extractor.objectives, infer)
