"""Auto-encoders in one piece: image to latent, mean and log-variance by voxel."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.coder import LOG_VARIANCE, Decoder, Encoder, Head
from uad_jax.nets.layers.grid_sizes import check_latent, sizes
from uad_jax.nets.layers.slice_position import position_features
from uad_jax.nets.study import StudyDecoding, StudyEncoding


class AutoEncoder(nn.Module):
  """Encoder, bottleneck, decoder, and heads for the mean and its log-variance."""

  shape: Sequence[int]
  channels: int
  widths: Sequence[int]
  latent: int
  bottleneck: str
  position: bool
  dropout: float = 0.0

  @nn.compact
  def __call__(self, image, position, deterministic=True):
    """[B, *S, C] and [B] to the latent, the mean [B, *S, C] and its log-variance."""
    where = position_features(position) if self.position else None
    drop = nn.Dropout(self.dropout, deterministic=deterministic)
    z = Encoder(self.widths, self.latent)(image)
    dense = self.bottleneck == 'dense'
    check_latent(8 * self.latent if dense else z[0].size, image)
    if dense:
      grid = sizes(self.shape, len(self.widths))[-1]
      z = drop(nn.Dense(8 * self.latent)(z.reshape(len(z), -1)))
      wide = nn.swish(nn.Dense(math.prod(grid) * self.latent)(z))
      features = Decoder(self.shape, self.widths[::-1])(
        drop(wide).reshape(len(z), *grid, self.latent), where
      )
    else:
      z = drop(z)
      features = Decoder(self.shape, self.widths[::-1])(z, where)
    mean = Head(self.channels)(features)
    log_variance = Head(self.channels, bias=-4.0)(jax.lax.stop_gradient(features))
    return z, mean, jnp.clip(log_variance, *LOG_VARIANCE)


class StudyAutoEncoder(nn.Module):
  """The auto-encoder of the comparative study; it has no head for the variance."""

  shape: Sequence[int]
  channels: int
  widths: Sequence[int]
  latent: int
  bottleneck: str
  dropout: float = 0.0

  @nn.compact
  def __call__(self, image, position=None, deterministic=True):
    """[B, *S, C] to the latent, the mean [B, *S, C] and None; reads no position."""
    (z,) = StudyEncoding(
      self.widths, self.latent, self.bottleneck, dropout=self.dropout
    )(image, deterministic)
    mean = StudyDecoding(
      self.shape, self.channels, self.widths, self.bottleneck, self.dropout
    )(z, deterministic)
    return z, mean, None
