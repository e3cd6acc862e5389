"""Cases of VoxelMorph-2 on volumes: training step and displacement, batches of two."""

import functools

from benchmarks.pairs import (
  Case,
  our_output,
  our_step,
  planes,
  scans,
  their_output,
  their_step,
  torch,
)
from uad_jax.methods import voxelmorph

if torch:
  from benchmarks import torch_voxelmorph


def voxelmorph_on(edge: int):
  """Makes our method, a batch for it, and PyTorch's network with its two images.

  The template, the first of the images, is still empty. Without PyTorch the last two
  are None.
  """
  grid = (edge,) * 3
  method, batch = voxelmorph.make(grid, bins=1), scans(2, *grid)
  if torch is None:
    return method, batch, None, None
  net = torch_voxelmorph.TorchVoxelMorph().to(memory_format=torch.channels_last_3d)
  fixed = planes(batch['image'])
  return method, batch, net, (torch.zeros_like(fixed), fixed)


def step(edge: int) -> Case:
  """One update of the network, by the squared difference to the template."""
  method, batch, net, pair = voxelmorph_on(edge)
  ours = our_step(method, batch, 'field')
  if net is None:
    return Case(ours, None)
  return Case(ours, their_step(net, lambda: torch_voxelmorph.loss(net, *pair), lr=1e-3))


def inference(edge: int) -> Case:
  """The displacements of the volumes."""
  method, batch, net, pair = voxelmorph_on(edge)
  ours = our_output(method, batch, 'displacement')
  return Case(ours, net and their_output(lambda: net(*pair)))


CASES = {
  f'voxelmorph {label}, 2 x {edge}^3': functools.partial(function, edge)
  for edge in (64, 96)
  for label, function in (('training step', step), ('inference', inference))
}
