"""Auto-encoder in the space of features (Meissen et al. 2022)."""

from collections.abc import Sequence

from uad_jax.features import networks
from uad_jax.method import Method
from uad_jax.methods.families import feature_restoration
from uad_jax.nets.feature_autoencoder import FeatureAutoencoder
from uad_jax.ops.limits import check_sizes, check_whole
from uad_jax.ops.losses import ssim


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  network: str = 'masked',
  weights: str = '',
  feature_widths: Sequence[int] = (32, 64, 128),
  share: float = 0.5,
  cell: int = 8,
  widths: Sequence[int] = (100, 150, 200, 300),
  window: int = 5,
) -> Method:
  """Builds an auto-encoder of feature maps, trained by structural similarity.

  Meissen, Paetzold, Kaissis, Rueckert 2022, "Unsupervised anomaly localization with
  structural feature-autoencoders": the maps f of all levels, on the grid of the finest,
  are restored by an auto-encoder f', and both the loss and the anomaly map are
  1 - SSIM(f, f'), averaged over the features.

  Departures: the network of features is trained on healthy scans and not on photographs
  (`network` 'resnet50' is the published kind, with the weights of the user); features
  are standardised by their mean and deviation over the training scans.

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    network: Network of features, see `feature_network`.
    weights: File of its weights, see `features.stored_weights`.
    feature_widths: Channels of its levels, from fine to coarse.
    share: Share of the image that is hidden in its training.
    cell: Edge length of a hidden cell, in voxels.
    widths: Channels of the auto-encoder, one for each halving of the grid.
    window: Edge length of the window of SSIM, in places, odd.

  Raises:
    ValueError: An option is not allowed, or the weights cannot be read.
  """
  check_sizes('fae: widths', widths, range(1, 9))
  check_whole('fae: window', window, 3)
  if window % 2 == 0:
    raise ValueError(f'fae: window is {window}; allowed is an odd number')
  extractor = networks.build(
    network, weights, channels, feature_widths, share, cell, 'fae'
  )

  def distance(maps, restored):
    return 1 - ssim(maps, restored, window).mean(-1, keepdims=True)

  return feature_restoration.make_method(
    extractor,
    lambda maps: [networks.joined(maps)],
    FeatureAutoencoder(widths),
    distance,
  )
