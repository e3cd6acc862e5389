"""Plain convolutional encoder and decoder for auto-encoders, 2-D and 3-D."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.position import everywhere


def sizes(shape: Sequence[int], levels: int) -> list[tuple[int, ...]]:
  """The grids at full resolution and after each of `levels` halvings, rounded up."""
  grids = [tuple(shape)]
  for _ in range(levels):
    grids.append(tuple(-(-n // 2) for n in grids[-1]))
  return grids


class Block(nn.Module):
  """3^d convolution, group normalisation, optional FiLM (Perez et al. 2018), swish."""

  width: int
  stride: int = 1

  @nn.compact
  def __call__(self, x: jax.Array, vector: jax.Array | None = None) -> jax.Array:
    """x [B, *S, C], vector [B, F] to [B, *S / stride, width]."""
    d = x.ndim - 2
    x = nn.Conv(self.width, (3,) * d, self.stride, use_bias=False)(x)
    x = nn.GroupNorm(num_groups=None, group_size=min(8, self.width))(x)
    if vector is not None:
      film = nn.Dense(2 * self.width, kernel_init=nn.initializers.zeros)(vector)
      film = film.reshape((len(film), *[1] * d, 2 * self.width))
      scale, shift = jnp.split(film, 2, -1)
      x = x * (1 + scale) + shift
    return nn.swish(x)


def upsample(x: jax.Array, shape: Sequence[int]) -> jax.Array:
  """Linear interpolation of [B, *S, C] to another grid."""
  return jax.image.resize(x, (len(x), *shape, x.shape[-1]), 'linear')


class Encoder(nn.Module):
  """Halves the grid once for each width, then a 1^d convolution to the latent."""

  widths: Sequence[int]
  latent: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[B, *S, C] to [B, *S / 2^levels, latent]."""
    for width in self.widths:
      x = Block(width, stride=2)(x)
    return nn.Conv(self.latent, (1,) * (x.ndim - 2))(x)


class Decoder(nn.Module):
  """Doubles the grid once for each width, back to `shape`; gives features, not images.

  It sees nothing but the latent (and the slice height): what the bottleneck did not let
  through cannot reach its output.
  """

  shape: Sequence[int]
  widths: Sequence[int]

  @nn.compact
  def __call__(self, latent: jax.Array, vector: jax.Array | None = None) -> jax.Array:
    """latent [B, *S / 2^levels, Z], vector [B, F] to [B, *S, widths[-1]]."""
    if vector is not None:
      latent = jnp.concatenate([latent, everywhere(vector, latent.shape[1:-1])], -1)
    x = Block(self.widths[0])(latent)
    for grid, width in zip(
      sizes(self.shape, len(self.widths))[-2::-1], self.widths, strict=True
    ):
      x = Block(width)(upsample(x, grid), vector)
    return x


class Head(nn.Module):
  """A last 3^d convolution to `channels`, with a small start about `bias`."""

  channels: int
  bias: float = 0.0
  scale: float = 1e-2

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[B, *S, C] to [B, *S, channels]."""
    return nn.Conv(
      self.channels,
      (3,) * (x.ndim - 2),
      kernel_init=nn.initializers.variance_scaling(self.scale, 'fan_in', 'normal'),
      bias_init=nn.initializers.constant(self.bias),
    )(x)
