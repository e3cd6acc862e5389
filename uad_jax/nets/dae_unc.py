"""Networks of the uncertainty-guided deformable auto-encoder (method `dae_unc`).

`Prior` predicts the prior image (the healthy image expected for a scan), `Deformer` the
velocity field that warps it onto the scan, `Evidence` the logit of a lesion, from which
the gate can be computed (1 where a voxel is unlikely to be healthy).
"""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.encoder_decoder import LOG_VARIANCE, Decoder, Encoder, Head
from uad_jax.nets.layers.slice_position import position_features
from uad_jax.nets.unet import UNet

Array = jax.Array


class Usual(NamedTuple):
  """Mean and log-variance of the intensities of healthy scans, voxel by voxel.

  Each slice of a batch has the statistics of its slice height in the head.

  Attributes:
    mean: Mean of the healthy scans [B, *S, C].
    log_variance: Logarithm of their variance [B, *S, C].
  """

  mean: Array
  log_variance: Array

  def deviation(self, image: Array) -> Array:
    """Computes the z-scores of an image against healthy scans, voxel by voxel.

    (image - mean) / standard deviation, all [B, *S, C].
    """
    return (image - self.mean) * jnp.exp(-0.5 * self.log_variance)


class Expected(NamedTuple):
  """Predicted healthy images (prior images) of a batch of scans, with log-variances.

  The network `Prior` predicts them; they are not yet warped onto the scans.

  Attributes:
    latent: Latent maps [B, *S / 2^levels, Z].
    heads: Prior images of the M ensembled heads [M, B, *S, C].
    log_variance: Log-variance [B, *S, C] of the difference between a healthy scan and
      its prior image.
  """

  latent: Array
  heads: Array
  log_variance: Array

  @property
  def image(self) -> Array:
    """Returns the prior image, the mean over the ensembled heads of the decoder.

    Its shape is [B, *S, C].
    """
    return self.heads.mean(0)

  @property
  def spread(self) -> Array:
    """Returns the epistemic variance, the variance over the ensembled decoder heads.

    Its shape is [B, *S, C].
    """
    return self.heads.var(0)


class Prior(nn.Module):
  """Auto-encoder that predicts the prior image (expected healthy image) of a scan.

  It also predicts the variance of the difference between a healthy scan and its prior
  image. The decoder predicts how this subject differs from the mean and log-variance of
  the healthy scans. The variance head reads the decoder's features behind a
  stop-gradient, thus nothing but the latent: a lesion can raise its own variance only
  as far as the bottleneck lets it through. Parameters: 'encoder', 'decoder', 'heads',
  'variance'.

  Attributes:
    shape: Spatial shape of the images.
    channels: Contrasts of the images.
    widths: Encoder widths, one for each halving of the grid; the decoder mirrors them.
    latent: Channels of the latent maps.
    heads: Number of ensembled heads, M.
    position: Gives the slice height to the decoder.
  """

  shape: Sequence[int]
  channels: int
  widths: Sequence[int]
  latent: int
  heads: int
  position: bool

  @nn.compact
  def __call__(
    self, image: Array, mask: Array, position: Array, usual: Usual
  ) -> Expected:
    """Predicts prior images and log-variances.

    Args:
      image: Scans [B, *S, C].
      mask: Brain masks [B, *S, 1].
      position: Slice heights [B] in [0, 1].
      usual: Mean and log-variance of the healthy scans at these heights.
    """
    height = position_features(position) if self.position else None
    inputs = jnp.concatenate([image, 0.3 * usual.deviation(image) * mask], -1)
    z = Encoder(self.widths, self.latent, name='encoder')(inputs)
    features = Decoder(self.shape, self.widths[::-1], name='decoder')(z, height)
    changes = Head(self.heads * self.channels, scale=0.1, name='heads')(features)
    changes = jnp.stack(jnp.split(changes, self.heads, -1))
    variance = Head(self.channels, name='variance')(jax.lax.stop_gradient(features))
    log_variance = jnp.clip(usual.log_variance + variance, *LOG_VARIANCE)
    return Expected(z, (usual.mean[None] + changes) * mask[None], log_variance)


class Deformer(nn.Module):
  """U-Net that predicts the velocity field which warps a prior image onto a scan.

  The gate (1 where a voxel is unlikely to be healthy) is concatenated at every level;
  the logarithm of the stiffness lambda0 outside the gate modulates the features by FiLM
  (Perez et al. 2018). (As a constant channel, log lambda0 dominates the image in the
  group normalisation, and nothing is learned.) The field starts near zero.

  Attributes:
    widths: Channels of the U-Net by level, finest first.
    coarse: The field's grid is the image's grid divided by this, rounded up.
  """

  widths: Sequence[int]
  coarse: int

  @nn.compact
  def __call__(self, image: Array, prior: Array, gate: Array, strength: Array) -> Array:
    """Predicts the velocity field that warps prior images onto scans.

    Args:
      image: Scans [B, *S, C].
      prior: Prior images [B, *S, C].
      gate: [B, *S, 1] in [0, 1], 1 where a voxel is unlikely to be healthy.
      strength: lambda0, the stiffness outside the gate, [B], above 0.

    Returns:
      Velocity field [B, *S / coarse, d] in voxels of its grid.
    """
    grid = image.shape[1:-1]
    small = tuple(-(-n // self.coarse) for n in grid)
    # The difference shows the direction: along the prior's gradient where they differ.
    stack = jnp.concatenate([image, prior, image - prior, gate], -1)
    if self.coarse > 1:
      stack = jax.image.resize(stack, (len(image), *small, stack.shape[-1]), 'linear')
    net = UNet(self.widths, len(grid), head_scale=1e-6, name='field')
    return net(stack, stack[..., -1:], jnp.log(strength)[:, None])


class Evidence(nn.Module):
  """U-Net that predicts the logit of a lesion at each voxel of a scan.

  From the logit the gate can be computed. The network sees the scan, the mean of the
  healthy scans, their standardised difference and the log-variance. With features of
  the prior image (its residual after a stiff registration, its variance over the heads,
  its log-variance) it fits synthetic lesions better and detects lesions of real shapes
  worse: it learns how the prior image responds to synthetic lesions. By default these
  features are left out.

  Attributes:
    widths: Channels of the U-Net by level, finest first.
  """

  widths: Sequence[int]

  @nn.compact
  def __call__(self, image: Array, usual: Usual, prior: Sequence[Array] = ()) -> Array:
    """Predicts the logit of a lesion, [B, *S, 1].

    Args:
      image: Scans [B, *S, C].
      usual: Mean and log-variance of the healthy scans.
      prior: Features of the prior image and its variance, each [B, *S, F].
    """
    # Scaled so that all inputs are of the order of one.
    features = [
      image,
      usual.mean,
      0.3 * usual.deviation(image),
      0.3 * usual.log_variance + 1,
      *prior,
    ]
    return UNet(self.widths, 1, name='net')(jnp.concatenate(features, -1))
