"""The networks of the uncertainty-guided deformable auto-encoder."""

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
  """What healthy scans have at each voxel of a slice height; both [B, *S, C]."""

  mean: Array
  log_variance: Array

  def deviation(self, image: Array) -> Array:
    """How many deviations the image lies above the mean; [B, *S, C]."""
    return (image - self.mean) * jnp.exp(-0.5 * self.log_variance)


class Expected(NamedTuple):
  """What the latent says of a scan, before any deformation."""

  latent: Array
  heads: Array  # [M, B, *S, C]
  log_variance: Array  # of the healthy residual, [B, *S, C]

  @property
  def image(self) -> Array:
    """The prior image, the mean of the heads; [B, *S, C]."""
    return self.heads.mean(0)

  @property
  def spread(self) -> Array:
    """The epistemic variance, over the heads; [B, *S, C]."""
    return self.heads.var(0)


class Prior(nn.Module):
  """Encoder, decoder with ensembled heads, and the healthy variance.

  Image and log-variance start from what is usual at each voxel; the decoder adds what
  is this subject's. The variance is read from the decoder's features, so from the
  latent alone, behind a stop-gradient: a lesion can raise its own variance only as far
  as the bottleneck lets it through. Parameters: 'encoder', 'decoder', 'heads',
  'variance'.
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
    """image [B, *S, C], mask [B, *S, 1], position [B]."""
    where = position_features(position) if self.position else None
    seen = jnp.concatenate([image, 0.3 * usual.deviation(image) * mask], -1)
    z = Encoder(self.widths, self.latent, name='encoder')(seen)
    features = Decoder(self.shape, self.widths[::-1], name='decoder')(z, where)
    own = Head(self.heads * self.channels, scale=0.1, name='heads')(features)
    own = jnp.stack(jnp.split(own, self.heads, -1))
    variance = Head(self.channels, name='variance')(jax.lax.stop_gradient(features))
    log_variance = jnp.clip(usual.log_variance + variance, *LOG_VARIANCE)
    return Expected(z, (usual.mean[None] + own) * mask[None], log_variance)


class Deformer(nn.Module):
  """A velocity field, conditioned on the gate and on the stiffness.

  The gate is put in at every level, log lambda0 by FiLM (Perez et al. 2018); together
  they are lambda(x). (As a channel a constant log lambda0 drowns the image in the group
  normalisation: nothing is learned.) The field starts near zero.

  Attributes:
    widths: Channels of its U-Net, finest first.
    coarse: The field's grid is the image's divided by this.
  """

  widths: Sequence[int]
  coarse: int

  @nn.compact
  def __call__(self, image: Array, prior: Array, gate: Array, strength: Array) -> Array:
    """Images [B, *S, C], gate [B, *S, 1], strength [B] to [B, *S / coarse, d]."""
    grid = image.shape[1:-1]
    small = tuple(-(-n // self.coarse) for n in grid)
    # Which way to move: along the prior's gradient where the scan differs.
    stack = jnp.concatenate([image, prior, image - prior, gate], -1)
    if self.coarse > 1:
      stack = jax.image.resize(stack, (len(image), *small, stack.shape[-1]), 'linear')
    net = UNet(self.widths, len(grid), head_scale=1e-6, name='field')
    return net(stack, stack[..., -1:], jnp.log(strength)[:, None])


class Evidence(nn.Module):
  """The learned gate's logit: from the scan, what is usual, and their difference.

  With the prior's features (its image aligned by the stiff pass, residual, spread and
  log-variance) it fits painted lesions better and finds real shapes worse: it learns
  how the prior answers to paint. They are left out unless asked for.
  """

  widths: Sequence[int]

  @nn.compact
  def __call__(self, image: Array, usual: Usual, prior: Sequence[Array] = ()) -> Array:
    """Images [B, *S, C] and the prior's features [B, *S, F] to a logit [B, *S, 1]."""
    # Scaled so that all inputs are of the order of one.
    features = [
      image,
      usual.mean,
      0.3 * usual.deviation(image),
      0.3 * usual.log_variance + 1,
      *prior,
    ]
    return UNet(self.widths, 1, name='net')(jnp.concatenate(features, -1))
