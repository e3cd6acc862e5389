"""Invertible network with several scales (Glow, Kingma and Dhariwal 2018).

A step normalises each channel (activation normalisation), mixes the channels of each
place by an invertible matrix, and shifts and scales half of them by a network of the
other half (affine coupling). After the steps of a scale half of the channels leave, as
latents of a standard normal distribution; space becomes channels between the scales.
"""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.layers.conv import Conv

Array = jax.Array


class Flow(NamedTuple):
  """Result of the network.

  Attributes:
    latents: Latents that leave at each scale, finest first, [B, *S / 2^l, K].
    densities: Their share of log p(image) at each place, [B, *S / 2^l].
  """

  latents: list[Array]
  densities: list[Array]


def squeeze(x: Array) -> Array:
  """Turns blocks of two voxels along each axis into channels, [B, *S / 2, 2^d C]."""
  d = x.ndim - 2
  halves = [n for size in x.shape[1:-1] for n in (size // 2, 2)]
  x = x.reshape(len(x), *halves, x.shape[-1])
  order = (0, *range(1, 2 * d + 1, 2), *range(2, 2 * d + 1, 2), 2 * d + 1)
  x = x.transpose(order)
  return x.reshape(*x.shape[: d + 1], -1)


def unsqueeze(x: Array) -> Array:
  """Undoes `squeeze`."""
  d = x.ndim - 2
  x = x.reshape(*x.shape[:-1], *[2] * d, -1)
  order = (0, *[a for i in range(d) for a in (1 + i, 1 + d + i)], 2 * d + 1)
  x = x.transpose(order)
  sizes = [x.shape[1 + 2 * i] * 2 for i in range(d)]
  return x.reshape(len(x), *sizes, -1)


def log_normal(z: Array) -> Array:
  """Computes the log-density of N(0, I), summed over channels, [B, *S]."""
  return -0.5 * (z**2 + jnp.log(2 * jnp.pi)).sum(-1)


def over_places(value: Array, like: Array) -> Array:
  """Repeats a number at each place of [B, *S, C], [B, *S]."""
  return jnp.broadcast_to(value, like.shape[:-1])


class ActNorm(nn.Module):
  """Scale and shift of each channel; the first batch gets mean 0 and deviation 1."""

  @nn.compact
  def __call__(self, x: Array, inverse: bool = False) -> tuple[Array, Array]:
    """Returns the changed array, and the log-determinant at each place [B, *S]."""
    axes, width = tuple(range(x.ndim - 1)), x.shape[-1]
    shift = self.param('shift', lambda _: -x.mean(axes))
    log_scale = self.param('log_scale', lambda _: -jnp.log(x.std(axes) + 1e-3))
    shift, factor = (
      v.reshape(*[1] * (x.ndim - 1), width) for v in (shift, jnp.exp(log_scale))
    )
    changed = x / factor - shift if inverse else (x + shift) * factor
    return changed, over_places(log_scale.sum(), x)


class Mixing(nn.Module):
  """Invertible matrix on the channels of each place; it begins as a rotation."""

  @nn.compact
  def __call__(self, x: Array, inverse: bool = False) -> tuple[Array, Array]:
    """Returns the changed array, and the log-determinant at each place [B, *S]."""
    matrix = self.param('matrix', nn.initializers.orthogonal(), (x.shape[-1],) * 2)
    changed = x @ (jnp.linalg.inv(matrix) if inverse else matrix)
    return changed, over_places(jnp.linalg.slogdet(matrix)[1], x)


class Coupling(nn.Module):
  """Shift and scale of half of the channels by a network of the other half.

  Attributes:
    hidden: Channels of the network.
  """

  hidden: int

  @nn.compact
  def __call__(self, x: Array, inverse: bool = False) -> tuple[Array, Array]:
    """Returns the changed array, and the log-determinant at each place [B, *S]."""
    d = x.ndim - 2
    fixed, moved = jnp.split(x, [x.shape[-1] // 2], -1)
    h = nn.relu(Conv(self.hidden, (3,) * d)(fixed))
    h = nn.relu(Conv(self.hidden, (1,) * d)(h))
    h = Conv(2 * moved.shape[-1], (3,) * d, kernel_init=nn.initializers.zeros)(h)
    shift, raw = jnp.split(h, 2, -1)
    log_scale = nn.log_sigmoid(raw + 2)
    if inverse:
      moved = moved * jnp.exp(-log_scale) - shift
    else:
      moved = (moved + shift) * jnp.exp(log_scale)
    return jnp.concatenate([fixed, moved], -1), log_scale.sum(-1)


class Step(nn.Module):
  """One step of the flow, see the module docstring.

  Attributes:
    hidden: Channels of the coupling's network.
    inverse: Whether to undo the step.
  """

  hidden: int
  inverse: bool = False

  @nn.compact
  def __call__(self, carry: tuple[Array, Array], _) -> tuple[tuple[Array, Array], None]:
    """Changes (x, log-determinant at each place)."""
    x, total = carry
    layers = (
      ActNorm(name='norm'),
      Mixing(name='mix'),
      Coupling(self.hidden, name='to'),
    )
    for layer in reversed(layers) if self.inverse else layers:
      x, log_det = layer(x, self.inverse)
      total = total + log_det
    return (x, total), None


class Glow(nn.Module):
  """Flow for 2-D and 3-D images whose sizes are multiples of 2^levels.

  Attributes:
    levels: Number of scales.
    steps: Steps of each scale.
    hidden: Channels of the couplings' networks.
  """

  levels: int = 3
  steps: int = 32
  hidden: int = 512

  def _steps(self, level: int, inverse: bool) -> nn.Module:
    # In a loop on CPU, XLA takes ten times as long for the derivatives of kernels.
    on_cpu = jax.default_backend() == 'cpu'
    several = nn.scan(
      Step,
      variable_axes={'params': 0},
      split_rngs={'params': True},
      length=self.steps,
      reverse=inverse,
      unroll=self.steps if on_cpu else 1,
    )
    return several(self.hidden, inverse, name=f'scale_{level}')

  @nn.compact
  def __call__(self, x: Array) -> Flow:
    """Maps images [B, *S, C] to latents and their densities."""
    latents, densities = [], []
    for level in range(self.levels):
      x = squeeze(x)
      (x, log_det), _ = self._steps(level, False)((x, jnp.zeros(x.shape[:-1])), None)
      last = level == self.levels - 1
      leaving, x = (x, x[..., :0]) if last else jnp.split(x, 2, -1)
      z, scaled = ActNorm(name=f'latent_{level}')(leaving)
      latents.append(z)
      densities.append(log_normal(z) + log_det + scaled)
    return Flow(latents, densities)

  @nn.compact
  def inverse(self, latents: Sequence[Array]) -> Array:
    """Maps latents to images, the inverse of `__call__`."""
    x = None
    for level in reversed(range(self.levels)):
      leaving, _ = ActNorm(name=f'latent_{level}')(latents[level], True)
      x = leaving if x is None else jnp.concatenate([leaving, x], -1)
      (x, _), _ = self._steps(level, True)((x, jnp.zeros(x.shape[:-1])), None)
      x = unsqueeze(x)
    return x


def over_image(densities: Sequence[Array], shape: Sequence[int]) -> Array:
  """Shares the densities of all scales out among the voxels below them, [B, *S].

  The sum over voxels is that over places and scales: log p(image).

  Args:
    densities: [B, *s] for each scale.
    shape: Spatial shape S of the images.
  """
  total = 0.0
  for values in densities:
    cells = 1
    for axis, size in enumerate(shape, 1):
      times = size // values.shape[axis]
      values, cells = jnp.repeat(values, times, axis), cells * times
    total = total + values / cells
  return total
