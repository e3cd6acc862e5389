"""Feature maps of healthy anatomy for methods that work on them.

The network that computes them is trained by self-supervision in the first stage of the
method, or its weights come from a file that the user has (`features.stored_weights`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax.features import stored_weights
from uad_jax.method import Array, Batch, Key, Objective, Params
from uad_jax.nets import resnet, vgg
from uad_jax.nets.feature_pyramid import FeaturePyramid, PyramidDecoder
from uad_jax.ops import losses
from uad_jax.ops.choices import check_choice
from uad_jax.ops.limits import check_number, check_sizes, check_whole

NETWORKS = ('masked', 'resnet50', 'vgg19')
"""Networks of features: one trained here by masked auto-encoding, and two whose weights
the user has."""


class Extractor(NamedTuple):
  """Network of features as a part of a method.

  Attributes:
    init: (key, batch) -> its parameters by network.
    maps: (params, image [B, *S, C]) -> feature maps [B, *S / 2^l, K_l], from fine to
      coarse.
    objectives: Training of the network, in stage 0; none if its weights are given.
    decoded: (params, image) -> image decoded from its maps; None if weights are given.
  """

  init: Callable[[Key, Batch], Params]
  maps: Callable[[Params, Array], list[Array]]
  objectives: Mapping[str, Objective]
  decoded: Callable[[Params, Array], Array] | None

  @property
  def stages(self) -> int:
    """Number of stages of its training."""
    return len(self.objectives)


def hidden_cells(key: Key, image: Array, share: float, cell: int) -> Array:
  """Draws the voxels that are hidden in the pretext, 1 where hidden, [B, *S, 1].

  The grid is divided into cells of edge `cell`, at an offset that is drawn, and each
  cell of each image is hidden with the probability `share`.
  """
  of_cells, of_offset = jax.random.split(key)
  number, *shape, _ = image.shape
  coarse = [-(-size // cell) + 1 for size in shape]
  hidden = jax.random.bernoulli(of_cells, share, (number, *coarse, 1))
  offset = jax.random.randint(of_offset, (len(shape),), 0, cell)
  for axis, size in enumerate(shape, 1):
    hidden = jnp.repeat(hidden, cell, axis)
    hidden = jax.lax.dynamic_slice_in_dim(hidden, offset[axis - 1], size, axis)
  return hidden.astype(image.dtype)


def masked(
  channels: int, widths: Sequence[int], share: float, cell: int, where: str
) -> Extractor:
  """Builds a network of features that masked auto-encoding trains (He et al. 2022).

  Cells of the image are set to 0, and a decoder predicts them from the feature maps:

    L = mean over the hidden voxels of the brain of (x - d(f(x hidden)))^2.

  Departure: encoder and decoder are convolutions (as in Tian et al. 2023), which see
  the hidden cells as zeros; a further input channel marks them.

  Args:
    channels: Number of contrasts.
    widths: Channels of the maps, from fine to coarse.
    share: Share of the cells that are hidden.
    cell: Edge length of a cell, in voxels.
    where: Name of the method, for error messages.
  """
  check_sizes(f'{where}: widths', widths, range(1, 9))
  check_number(f'{where}: share', share, 0, 1, above=True)
  check_whole(f'{where}: cell', cell, 1)
  pyramid, decoder = FeaturePyramid(widths), PyramidDecoder(widths, channels)

  def encode(params: Params, image: Array, hidden: Array | None = None) -> list[Array]:
    hidden = jnp.zeros_like(image[..., :1]) if hidden is None else hidden
    x = jnp.concatenate([image * (1 - hidden), hidden], -1)
    return pyramid.apply({'params': params['features']}, x)

  def decode(params: Params, maps: list[Array], shape: Sequence[int]) -> Array:
    return decoder.apply({'params': params['pretext']}, maps, shape)

  def init(key: Key, batch: Batch) -> Params:
    of_pyramid, of_decoder = jax.random.split(key)
    image = jnp.asarray(batch['image'])
    x = jnp.concatenate([image, image[..., :1]], -1)
    maps, params = pyramid.init_with_output(of_pyramid, x)
    shape = image.shape[1:-1]
    of_decoder = decoder.init(of_decoder, maps, shape)['params']
    return {'features': params['params'], 'pretext': of_decoder}

  def loss(params, stats, batch: Batch, key, step):
    image = jnp.asarray(batch['image'])
    hidden = hidden_cells(key, image, share, cell)
    output = decode(params, encode(params, image, hidden), image.shape[1:-1])
    weight = losses.voxel_weight(batch) * hidden
    return losses.masked_mean((image - output) ** 2, weight), (stats, {})

  def maps(params: Params, image: Array) -> list[Array]:
    return encode(params, image)

  def decoded(params: Params, image: Array) -> Array:
    return decode(params, encode(params, image), image.shape[1:-1])

  objectives = {'pretext': Objective(loss, ('features', 'pretext'))}
  return Extractor(init, maps, objectives, decoded)


def stored(network: str, weights: str, levels: int, where: str) -> Extractor:
  """Builds a network of features whose weights are read from a file.

  It sees the mean of the contrasts, limited to [0, 1], as a grey photograph.

  Args:
    network: 'resnet50' or 'vgg19'; they are for slices.
    weights: File with the weights, see `features.stored_weights`.
    levels: Number of maps, from the finest on.
    where: Name of the method, for error messages.
  """
  net = {'resnet50': resnet, 'vgg19': vgg}[network]
  check_whole(f'{where}: number of widths with {network}', levels, 1, net.LEVELS)
  params = stored_weights.read(weights, net.names(levels), network, where)

  def init(key: Key, batch: Batch) -> Params:
    if batch['image'].ndim != 4:
      raise ValueError(f'{where}: {network} is for slices; these are volumes')
    return {'features': params}

  def maps(params: Params, image: Array) -> list[Array]:
    grey = jnp.clip(jnp.asarray(image).mean(-1, keepdims=True), 0.0, 1.0)
    mean, deviation = (
      jnp.array(x).reshape(1, 1, 1, 3) for x in stored_weights.PHOTOGRAPHS
    )
    return net.apply(params['features'], (grey - mean) / deviation, levels)

  return Extractor(init, maps, {}, None)


def build(
  network: str,
  weights: str,
  channels: int,
  widths: Sequence[int],
  share: float,
  cell: int,
  where: str,
) -> Extractor:
  """Builds the network of features of a method, see `masked` and `stored`.

  Raises:
    ValueError: The network is unknown, an option is not allowed, or the file of the
      weights is missing or of another network.
  """
  check_choice('network', network, NETWORKS, where)
  if network == 'masked':
    if weights:
      raise ValueError(
        f"{where}: weights are '{weights}' and network is 'masked', which is trained "
        'here; allowed are weights with ' + ' or '.join(NETWORKS[1:])
      )
    return masked(channels, widths, share, cell, where)
  return stored(network, weights, len(widths), where)


def joined(maps: Sequence[Array], level: int = 0) -> Array:
  """Resizes feature maps to the grid of one level and concatenates their channels."""
  grid = maps[level].shape[1:-1]

  def resized(x: Array) -> Array:
    if x.shape[1:-1] == grid:
      return x
    return jax.image.resize(x, (len(x), *grid, x.shape[-1]), 'linear')

  return jnp.concatenate([resized(x) for x in maps], -1)
