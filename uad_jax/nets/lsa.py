"""Autoregressive estimators of the density of a latent code (Abati et al. 2019).

Both give, for each value of the code, logits of its bin that depend only on the values
before it.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
SLOPE = 0.2


class MaskedDense(nn.Module):
  """Masked fully connected layer over positions and channels.

  The output at position j depends on the inputs at positions before j, and at j itself
  unless `strict`.

  Attributes:
    width: Channels of the output at each position.
    strict: Whether the own position is hidden (mask A of the paper; otherwise B).
  """

  width: int
  strict: bool

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps [B, d, K] to [B, d, width]."""
    d, channels = x.shape[-2:]
    order = np.arange(d)
    before = order[:, None] < order[None] if self.strict else order[:, None] <= order
    count = max(1, (d // 2) * channels)
    init = nn.initializers.normal(1 / np.sqrt(count))
    kernel = self.param('kernel', init, (d, channels, d, self.width))
    bias = self.param('bias', nn.initializers.zeros, (d, self.width))
    kernel = kernel * jnp.asarray(before, kernel.dtype)[:, None, :, None]
    return jnp.einsum('bic,icjo->bjo', x, kernel) + bias[None]


class MaskedConv(nn.Module):
  """Convolution over latent maps that sees places before its own in raster order.

  Attributes:
    width: Channels of the output.
    strict: Whether the own place is hidden.
    edge: Edge length of the kernel, odd.
  """

  width: int
  strict: bool
  edge: int = 3

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps [B, *s, K] to [B, *s, width]."""
    d = x.ndim - 2
    shape = (self.edge,) * d
    places = self.edge**d
    seen = np.arange(places) < places // 2 + (not self.strict)
    kernel = self.param(
      'kernel', nn.initializers.lecun_normal(), (*shape, x.shape[-1], self.width)
    )
    bias = self.param('bias', nn.initializers.zeros, (self.width,))
    mask = jnp.asarray(seen.reshape(*shape, 1, 1), kernel.dtype)
    axes = 'XYZ'[:d]
    numbers = (f'N{axes}C', f'{axes}IO', f'N{axes}C')
    y = jax.lax.conv_general_dilated(
      x, kernel * mask, (1,) * d, 'SAME', dimension_numbers=numbers
    )
    return y + bias.reshape(*[1] * (d + 1), -1)


class Estimator(nn.Module):
  """Masked layers, the first of which is strict, that end in logits of bins.

  Attributes:
    widths: Channels of the hidden layers.
    bins: Number of bins of [0, 1].
    spatial: Whether the code is a map [B, *s, K], whose channels at a place count as
      independent given the places before it, or a vector [B, d].
  """

  widths: Sequence[int] = (32, 32, 32, 32)
  bins: int = 100
  spatial: bool = False

  @nn.compact
  def __call__(self, z: Array) -> Array:
    """Maps codes to logits, [..., bins] after the axes of the code."""
    layer = MaskedConv if self.spatial else MaskedDense
    values = z.shape[-1] if self.spatial else 1
    h = z if self.spatial else z[..., None]
    for number, width in enumerate((*self.widths, values * self.bins)):
      h = nn.leaky_relu(h, SLOPE) if number else h
      h = layer(width, strict=number == 0)(h)
    return h.reshape(*z.shape, self.bins)


def surprisal(logits: Array, z: Array) -> Array:
  """Computes -log p of each value of a code, in nats.

  Args:
    logits: [..., bins].
    z: Values in [0, 1], [...]; their bin carries no gradient.

  Returns:
    [...].
  """
  bins = logits.shape[-1]
  chosen = jnp.clip(jnp.floor(jax.lax.stop_gradient(z) * bins), 0, bins - 1)
  chosen = chosen.astype(int)[..., None]
  return -jnp.take_along_axis(jax.nn.log_softmax(logits), chosen, -1)[..., 0]
