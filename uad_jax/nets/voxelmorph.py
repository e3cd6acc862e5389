"""Networks of VoxelMorph, which predict a deformation from two images, 2-D and 3-D.

Balakrishnan et al. 2019 (`Field`) and, with the posterior of a velocity field, Dalca et
al. 2019 (`Posterior`).
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.layers.resample import double
from uad_jax.nets.morphaeus import Conv

Array = jax.Array

SLOPE = 0.2
"""Slope of the leaky ReLU below zero."""

START_LOG_VARIANCE = -10.0
"""Log-variance of the velocity at the start of a training, nearly none."""


def on_full_grid(encoder: Sequence[int], decoder: Sequence[int]) -> Sequence[int]:
  """Returns the widths of the decoder's convolutions on the grid of the images.

  Args:
    encoder: Widths of `Features`.
    decoder: Widths of `Features`.

  Raises:
    ValueError: The decoder has too few widths.
  """
  fewest = len(encoder) + 1
  if not encoder or len(decoder) < fewest:
    raise ValueError(
      f'voxelmorph: encoder {tuple(encoder)} and decoder {tuple(decoder)}; allowed are '
      'one or more encoder widths and at least one decoder width more'
    )
  return decoder[fewest:]


class Features(nn.Module):
  """U-Net of VoxelMorph (Balakrishnan et al. 2019), without its output layer.

  Convolutions of edge 3 with leaky ReLU, no normalisation; those of the encoder halve
  the grid by their stride (sizes round up), the decoder doubles it by repeating voxels
  and concatenates the encoder's features, on the full grid the two images.

  Attributes:
    encoder: Widths, one for each halving of the grid.
    decoder: Widths of the convolutions on the coarsest grid and after each doubling, of
      one more on half the grid, and of those on the full grid. Without the last ones
      the features stay on half the grid.
  """

  encoder: Sequence[int]
  decoder: Sequence[int]

  @nn.compact
  def __call__(self, moving: Array, fixed: Array) -> Array:
    """Maps two images [B, *S, C] to features [B, *s, K], s being S or S / 2."""
    full = on_full_grid(self.encoder, self.decoder)

    def convolved(x, width, resample='same'):
      layer = Conv(width, resample, kernel_init=nn.initializers.he_normal())
      return nn.leaky_relu(layer(x), SLOPE)

    def joined(x, skip):
      inside = tuple(slice(n) for n in skip.shape[1:-1])
      return jnp.concatenate([double(x)[:, *inside], skip], -1)

    skips = [jnp.concatenate([moving, fixed], -1)]
    for width in self.encoder:
      skips.append(convolved(skips[-1], width, 'down'))
    levels = len(self.encoder)
    x = convolved(skips[-1], self.decoder[0])
    for width, skip in zip(self.decoder[1:levels], skips[-2:0:-1], strict=True):
      x = convolved(joined(x, skip), width)
    x = convolved(x, self.decoder[levels])
    if full:
      x = joined(x, skips[0])
    for width in full:
      x = convolved(x, width)
    return x


class Field(nn.Module):
  """Network that predicts the displacement or velocity field from image to image.

  The field starts near zero (kernel normal, 1e-5).

  Attributes:
    encoder: Widths, see `Features`.
    decoder: Widths, see `Features`.
  """

  encoder: Sequence[int]
  decoder: Sequence[int]

  @nn.compact
  def __call__(self, moving: Array, fixed: Array) -> Array:
    """Predicts the field [B, *s, d] that warps `moving` onto `fixed`, [B, *S, C]."""
    features = Features(self.encoder, self.decoder, name='features')(moving, fixed)
    start = nn.initializers.normal(1e-5)
    return Conv(moving.ndim - 2, kernel_init=start, name='field')(features)


class Posterior(nn.Module):
  """Network that predicts the normal posterior of a velocity field (Dalca et al. 2019).

  Attributes:
    encoder: Widths, see `Features`.
    decoder: Widths, see `Features`.
  """

  encoder: Sequence[int]
  decoder: Sequence[int]

  @nn.compact
  def __call__(self, moving: Array, fixed: Array) -> tuple[Array, Array]:
    """Predicts mean and log-variance of the velocity, each [B, *s, d].

    Args:
      moving: Images [B, *S, C] that the deformation warps.
      fixed: Images that they are warped onto, as moving.
    """
    features = Features(self.encoder, self.decoder, name='features')(moving, fixed)

    def head(name, deviation):
      start = nn.initializers.normal(deviation)
      return Conv(moving.ndim - 2, kernel_init=start, name=name)(features)

    return head('mean', 1e-5), head('log_variance', 1e-10) + START_LOG_VARIANCE
