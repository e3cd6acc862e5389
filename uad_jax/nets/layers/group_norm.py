"""Group normalisation with a modulation, as one affine map of each channel."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from uad_jax.nets.layers.batch_norm import sums

Array = jax.Array


@jax.custom_vjp
def affine(x: Array, gain: Array, shift: Array) -> Array:
  """x gain + shift; x [B, *S, C], gain and shift [B, C].

  Its derivative is written out: the sums over the grid go along whole lines, in half
  the time of XLA's over all but the last axis on a CPU.
  """
  shape = (len(x), *[1] * (x.ndim - 2), -1)
  return x * gain.reshape(shape) + shift.reshape(shape)


def _affine_vjp(saved, g):
  x, gain = saved
  return affine(g, gain, jnp.zeros_like(gain)), sums(g * x), sums(g)


affine.defvjp(lambda x, a, b: (affine(x, a, b), (x, a)), _affine_vjp)


class GroupNorm(nn.Module):
  """`flax.linen.GroupNorm` (Wu and He 2018), then FiLM (Perez et al. 2018) if asked.

  Attributes:
    groups: Number of groups, which divides the channels.
    epsilon: Added to the variance.
  """

  groups: int
  epsilon: float = 1e-6

  @nn.compact
  def __call__(self, x: Array, film: Array | None = None) -> Array:
    """x [B, *S, C], film [B, 2 C] or None to norm(x) (1 + scale) + shift."""
    count, features = len(x), x.shape[-1]
    if features % self.groups:
      raise ValueError(f'{features} channels do not divide into {self.groups} groups')
    scale = self.param('scale', nn.initializers.ones, (features,))
    bias = self.param('bias', nn.initializers.zeros, (features,))
    size = math.prod(x.shape[1:]) // self.groups

    def mean(values):
      each = values.reshape(count, self.groups, -1).sum(-1) / size
      return jnp.repeat(each, features // self.groups, 1)

    average = mean(sums(x))
    variance = jnp.maximum(mean(sums(x * x)) - average**2, 0)
    gain = scale[None] * jax.lax.rsqrt(variance + self.epsilon)
    shift = bias[None] - average * gain
    if film is not None:
      more, offset = jnp.split(film, 2, -1)
      gain, shift = gain * (1 + more), shift * (1 + more) + offset
    return affine(x, gain, shift)
