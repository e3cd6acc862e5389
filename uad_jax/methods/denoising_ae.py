"""Denoising auto-encoder, a U-Net trained on coarse noise (Kascenas et al. 2022)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.augmentation import synthetic_lesions
from uad_jax.method import Batch, Method, Objective
from uad_jax.nets.layers.feature_taps import finest
from uad_jax.nets.layers.slice_position import position_features
from uad_jax.nets.unet import UNet
from uad_jax.ops import losses


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (64, 128, 256, 512),
  blocks: int = 2,
  deviation: float = 0.2,
  cells: int = 16,
  position: bool = False,
) -> Method:
  """Builds a U-Net trained to remove coarse noise; at inference it removes lesions.

  L = mean over the brain of (x - f(x + noise))^2; the anomaly map is |x - f(x)|.

  Kascenas, Pugeault, O'Neil, "Denoising autoencoders for unsupervised anomaly detection
  in brain MRI", MIDL 2022. A U-Net with skip connections needs no bottleneck: noise as
  coarse as lesions (normal, 16 nodes along each axis, up-sampled linearly, rolled at
  random) teaches it to remove structures that are not healthy. At inference no noise is
  added.

  Departures: the U-Net is this package's (group normalisation and swish as published,
  but strides for pooling and linear up-sampling for transposed convolutions); the noise
  is rolled by example and not by batch; noise and loss are inside the brain mask.

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    widths: Channels of the U-Net by level, finest first.
    blocks: Convolutions at each level.
    deviation: Standard deviation of the noise at its nodes, in image units; published
      0.2 for images in [0, 1].
    cells: Nodes of the noise along each axis; published 16 for 128 x 128.
    position: Give the slice height to the network; not published.

  Raises:
    ValueError: There are more cells than voxels along an axis, or none.
  """
  if not 1 <= cells <= min(shape):
    raise ValueError(
      f'denoising_ae: {cells} cells do not fit the shape {tuple(shape)}; allowed are 1 '
      f'to {min(shape)}'
    )
  net = UNet(widths, channels, head_scale=1.0, blocks=blocks)

  def height(batch):
    return position_features(batch['position']) if position else None

  def denoise(params, batch, image):
    return net.apply({'params': params['unet']}, image, None, height(batch))

  def init(key, batch: Batch):
    return {'unet': net.init(key, batch['image'], None, height(batch))['params']}, {}

  def loss(params, stats, batch: Batch, key, step):
    image, mask = jnp.asarray(batch['image']), batch['mask']
    noisy = synthetic_lesions.coarse_noise(key, image, mask, deviation, cells)
    weight = losses.voxel_weight(batch)
    error = losses.masked_mean((image - denoise(params, batch, noisy)) ** 2, weight)
    noise = losses.masked_mean((image - noisy) ** 2, weight)
    # Below 1 the output is closer to the image than the noisy image is.
    share = error / jnp.maximum(noise, 1e-12)
    return error, (stats, {'left': jax.lax.stop_gradient(share)})

  def infer(params, stats, batch: Batch, key):
    image = batch['image']
    return {
      'reconstruction': denoise(params, batch, image) * batch['mask'],
      'features': finest(net, params['unet'], image, None, height(batch)),
    }

  return Method(init, {'denoiser': Objective(loss, ('unet',))}, infer)
