"""Feature maps of ResNet-50 (He et al. 2016), with weights from a file.

The wide variant of Zagoruyko and Komodakis 2016 has the same layers with other widths,
which are those of the weights.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

Array = jax.Array

BLOCKS = (3, 4, 6, 3)
"""Bottleneck blocks of the four layers."""

LEVELS = 1 + len(BLOCKS)
"""Maps at most: after the first convolution, and of each layer."""

NORM = ('weight', 'bias', 'running_mean', 'running_var')


def _blocks(levels: int) -> list[str]:
  """Names of the bottleneck blocks of the first levels."""
  layers = enumerate(BLOCKS[: levels - 1], 1)
  return [f'layer{layer}.{index}' for layer, n in layers for index in range(n)]


def names(levels: int) -> list[str]:
  """Returns the names of the arrays that the first levels need."""
  convolutions = {'conv1': 'bn1'}
  for block in _blocks(levels):
    convolutions |= {f'{block}.conv{i}': f'{block}.bn{i}' for i in (1, 2, 3)}
    if block.endswith('.0'):
      convolutions[f'{block}.downsample.0'] = f'{block}.downsample.1'
  return [f'{conv}.weight' for conv in convolutions] + [
    f'{norm}.{part}' for norm in convolutions.values() for part in NORM
  ]


def _convolved(params, x: Array, conv: str, norm: str, stride: int = 1) -> Array:
  """Convolution, padded by half of its kernel, and the normalisation that follows."""
  kernel = jnp.asarray(params[f'{conv}.weight'])
  pad = [(edge // 2, edge // 2) for edge in kernel.shape[2:]]
  x = jax.lax.conv_general_dilated(
    x, kernel, (stride, stride), pad, dimension_numbers=('NHWC', 'OIHW', 'NHWC')
  )
  gain, bias, mean, variance = (
    jnp.reshape(params[f'{norm}.{part}'], (1, 1, 1, -1)) for part in NORM
  )
  return (x - mean) * gain * jax.lax.rsqrt(variance + 1e-5) + bias


def apply(params: Mapping[str, Array], x: Array, levels: int) -> list[Array]:
  """Computes the maps after the first convolution and after each layer.

  Normalisation uses the stored means and variances.

  Args:
    params: Arrays as torchvision names them, kernels [W, C, k, k].
    x: Images [B, H, W, 3], standardised as photographs.
    levels: Number of maps.

  Returns:
    Maps [B, H / 2^l, W / 2^l, K_l], l = 1, 2, ...; sizes round up.
  """
  x = jax.nn.relu(_convolved(params, x, 'conv1', 'bn1', 2))
  maps = {'0': x}
  pad = ((0, 0), (1, 1), (1, 1), (0, 0))
  x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), pad)
  for block in _blocks(levels):
    layer, first = block[len('layer')], block.endswith('.0')
    stride = 2 if first and layer != '1' else 1
    y = jax.nn.relu(_convolved(params, x, f'{block}.conv1', f'{block}.bn1'))
    y = jax.nn.relu(_convolved(params, y, f'{block}.conv2', f'{block}.bn2', stride))
    y = _convolved(params, y, f'{block}.conv3', f'{block}.bn3')
    if first:
      ends = f'{block}.downsample.0', f'{block}.downsample.1'
      x = _convolved(params, x, *ends, stride)
    x = maps[layer] = jax.nn.relu(x + y)
  return list(maps.values())
