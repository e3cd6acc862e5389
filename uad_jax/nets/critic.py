"""Critic networks that rate latent vectors or images in adversarial training.

The architectures are those of Baur et al. 2021.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax

from uad_jax.nets import baur2021
from uad_jax.nets.layers.conv import Conv
from uad_jax.nets.layers.grid_norm import GridNorm

SLOPE = 0.2
"""Slope of the leaky ReLU in `LatentCritic`; `ImageCritic` has `baur2021.SLOPE`."""


class LatentCritic(nn.Module):
  """Critic network that learns to tell encoder latents from standard normal samples.

  It is a multi-layer perceptron with leaky ReLUs, trained to give the samples the
  higher values.

  Attributes:
    widths: Units of the hidden layers: 50-50 in the AAE, 100-50 or 200-400 in the cAAE.
  """

  widths: Sequence[int] = (50, 50)

  @nn.compact
  def __call__(self, z: jax.Array) -> jax.Array:
    """Computes the critic values [B] of latents [B, Z]."""
    for width in self.widths:
      z = nn.leaky_relu(nn.Dense(width)(z), SLOPE)
    return nn.Dense(1)(z)[:, 0]


class ImageCritic(nn.Module):
  """Convolutional critic that rates an image by the mean rating of its patches.

  For each width a convolution of edge 5 and stride 2, layer normalisation over the grid
  and leaky ReLU; then a linear unit gives each place of the last grid a value, as in
  Baur et al. 2021. Only the normalisations have parameters whose number depends on the
  size of the image.

  Attributes:
    widths: Channels after each halving of the grid.
  """

  widths: Sequence[int] = (32, 64, 128, 128)

  @nn.compact
  def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Computes the critic values of images.

    Args:
      x: [B, *S, C].

    Returns:
      Critic values [B], and the last features [B, *S / 2^levels, widths[-1]].
    """
    for width in self.widths:
      convolve = Conv(width, (5,) * (x.ndim - 2), 2)
      x = GridNorm()(convolve(x))
      x = nn.leaky_relu(x, baur2021.SLOPE)
    value = nn.Dense(1)(x)
    return value.mean(tuple(range(1, value.ndim))), x
