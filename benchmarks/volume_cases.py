"""Cases of VoxelMorph-2 on volumes: training step and displacement, batches of two."""

import functools

import numpy as np

from benchmarks.pairs import (
  Case,
  our_output,
  our_step,
  planes,
  their_output,
  their_step,
  torch,
)
from uad_jax.methods import voxelmorph

if torch:
  from benchmarks import torch_voxelmorph


def volumes(edge: int) -> dict[str, np.ndarray]:
  """Makes a batch of two random volumes whose brain masks are all of them."""
  image = np.random.default_rng(0).uniform(size=(2, *(edge,) * 3, 1))
  return {
    'image': image.astype('float32'),
    'mask': np.ones(image.shape, 'float32'),
    'position': np.full(2, 0.5, 'float32'),
    'weight': np.ones(2, 'float32'),
  }


def images(batch: dict[str, np.ndarray]):
  """The template, still empty in ours, and the volumes as PyTorch tensors."""
  fixed = planes(batch['image'])
  return torch.zeros_like(fixed), fixed


def step(edge: int) -> Case:
  """One update of the network, by the squared difference to the template."""
  batch, method = volumes(edge), voxelmorph.make((edge,) * 3, bins=1)
  mine = our_step(method, batch, 'field')
  if torch is None:
    return Case(mine, None)
  net = torch_voxelmorph.TorchVoxelMorph()
  net = net.to(memory_format=torch.channels_last_3d)
  pair = images(batch)
  return Case(mine, their_step(net, lambda: torch_voxelmorph.loss(net, *pair), lr=1e-3))


def inference(edge: int) -> Case:
  """The displacements of the volumes."""
  batch, method = volumes(edge), voxelmorph.make((edge,) * 3, bins=1)
  mine = our_output(method, batch, 'displacement')
  if torch is None:
    return Case(mine, None)
  net = torch_voxelmorph.TorchVoxelMorph()
  net = net.eval().to(memory_format=torch.channels_last_3d)
  pair = images(batch)
  return Case(mine, their_output(lambda: net(*pair)))


CASES = {
  f'voxelmorph {label}, 2 x {edge}^3': functools.partial(function, edge)
  for edge in (64, 96)
  for label, function in (('training step', step), ('inference', inference))
}
