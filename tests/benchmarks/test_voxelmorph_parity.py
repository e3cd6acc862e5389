"""PyTorch's VoxelMorph of the timings computes what ours computes."""

import jax
import numpy as np
import pytest

from uad_jax.methods import voxelmorph
from uad_jax.registration import regularise
from uad_jax.registration.warp import warp

torch = pytest.importorskip(
  'torch', reason='PyTorch is not installed: nothing to compare'
)

from benchmarks import torch_voxelmorph  # noqa: E402
from benchmarks.pairs import planes, scans  # noqa: E402


def tensor(x):
  """[B, *S, C] as a tensor [B, C, *S]."""
  return planes(np.asarray(x))


def shaken(x):
  """Parameters away from their start: the field begins as nearly zero, which would
  hide the rest."""
  return x + 0.02 * np.cos(np.arange(x.size)).reshape(x.shape)


def test_it_gives_the_same_displacement_and_loss(key):
  encoder, decoder, edge = (4, 8, 8), (8, 8, 8, 8, 4), 16
  method = voxelmorph.make((edge,) * 3, bins=1, encoder=encoder, decoder=decoder)
  batch = scans(2, *(edge,) * 3)
  moving = jax.random.uniform(key, batch['image'].shape)
  params, stats = method.init(key, batch)
  params = jax.tree.map(shaken, params)
  net = torch_voxelmorph.TorchVoxelMorph(encoder, decoder)
  layers = [*net.encoder, *net.decoder, net.field]
  tree = params['field']
  trees = [tree['features'][f'Conv_{i}'] for i in range(len(layers) - 1)]
  for layer, part in zip(layers, [*trees, tree['field']], strict=True):
    kernel = np.array(part['kernel']).transpose(4, 3, 0, 1, 2)
    layer.weight.data = torch.tensor(kernel.copy())
    layer.bias.data = torch.tensor(np.array(part['bias']))
  u = method.infer(params, stats, batch | {'moving': moving}, key)['displacement']
  assert np.abs(u).max() > 0.05
  theirs = net(tensor(moving), tensor(batch['image'])).detach()
  np.testing.assert_allclose(tensor(u), theirs, atol=1e-4)
  error = ((batch['image'] - warp(moving, u)) ** 2).mean()
  ours = error + 0.01 * regularise.gradient_energy(u).mean()
  loss = torch_voxelmorph.loss(net, tensor(moving), tensor(batch['image']))
  np.testing.assert_allclose(ours, loss.item(), rtol=1e-4)
