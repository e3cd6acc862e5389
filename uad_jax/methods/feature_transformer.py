"""Transformer that restores features from those of other places (UniAD)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.features import networks
from uad_jax.method import Method
from uad_jax.methods.families import feature_restoration
from uad_jax.nets.feature_autoencoder import MaskedTransformer
from uad_jax.ops.limits import check_number, check_whole


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  network: str = 'masked',
  weights: str = '',
  feature_widths: Sequence[int] = (32, 64, 128),
  share: float = 0.5,
  cell: int = 8,
  width: int = 128,
  depth: int = 4,
  heads: int = 8,
  neighbours: int = 3,
  jitter: float = 20.0,
) -> Method:
  """Builds the feature reconstruction of You et al. 2022 with neighbour masking.

  "A unified model for multi-class anomaly detection": the maps of all levels, on the
  grid of the coarsest, are the tokens f of a transformer with learnt queries in each
  layer, whose attention does not see a place's neighbours (`nets.feature_autoencoder`).
  In training a token is moved by normal noise of deviation jitter |f| / K, K being its
  length. It minimises the mean of |f - f'|^2 / K; the map is the distance |f - f'|.

  Departures: the network of features is trained on healthy scans (`network` 'resnet50'
  takes the weights of the user; published is EfficientNet-B4), and features are
  standardised by their mean and deviation over the training scans. In the place of the
  paper's classes of objects are slice heights, which the transformer does not see.

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    network: Network of features, see `feature_network`.
    weights: File of its weights, see `features.stored_weights`.
    feature_widths: Channels of its levels, from fine to coarse.
    share: Share of the image that is hidden in its training.
    cell: Edge length of a hidden cell, in voxels.
    width: Channels of the transformer, a multiple of `heads`; published 256.
    depth: Layers of its encoder and of its decoder; published 4.
    heads: Attention heads; published 8.
    neighbours: Edge length of the hidden neighbourhood in places, odd, or 0 for none;
      published 7 of a grid of 14.
    jitter: Scale of the noise; published 20.

  Raises:
    ValueError: An option is not allowed, or the weights cannot be read.
  """
  where = 'feature_transformer'
  check_whole(f'{where}: depth', depth, 1)
  check_whole(f'{where}: heads', heads, 1)
  check_whole(f'{where}: neighbours', neighbours, 0)
  check_number(f'{where}: jitter', jitter, 0)
  if width % heads:
    raise ValueError(
      f'{where}: width is {width} and heads {heads}; allowed is a multiple of the heads'
    )
  if neighbours and neighbours % 2 == 0:
    raise ValueError(
      f'{where}: neighbours is {neighbours}; allowed is an odd number or 0'
    )
  extractor = networks.build(
    network, weights, channels, feature_widths, share, cell, where
  )

  def noisy(f, key):
    length = jnp.linalg.norm(f, axis=-1, keepdims=True)
    return f + jitter / f.shape[-1] * length * jax.random.normal(key, f.shape)

  def distance(f, predicted):
    return jnp.linalg.norm(f - predicted, axis=-1, keepdims=True)

  return feature_restoration.make_method(
    extractor,
    lambda maps: [networks.joined(maps, -1)],
    MaskedTransformer(width, depth, heads, neighbours),
    distance,
    error=lambda f, predicted: (f - predicted) ** 2,
    jitter=noisy,
  )
