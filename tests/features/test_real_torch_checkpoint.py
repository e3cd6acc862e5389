"""Checkpoints that PyTorch itself wrote; skipped where it is not installed."""

import numpy as np
import pytest

from uad_jax.features import torch_checkpoint

torch = pytest.importorskip('torch', reason='PyTorch is not installed')


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('kind', ['state', 'nested', 'parameters'])
def test_what_torch_saves_is_read(zipped, kind, tmp_path):
  net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
  state = net.state_dict()
  saved = {
    'state': state,
    'nested': {'state_dict': state, 'epoch': 3},
    'parameters': dict(net.named_parameters()),
  }[kind]
  path = str(tmp_path / 'net.pth')
  torch.save(saved, path, _use_new_zipfile_serialization=zipped)
  arrays = torch_checkpoint.read(path)
  expected = dict(net.named_parameters()) if kind == 'parameters' else state
  assert set(arrays) == set(expected)
  for name, value in expected.items():
    np.testing.assert_array_equal(arrays[name], value.detach().numpy())


@pytest.mark.parametrize('zipped', [True, False])
def test_views_and_other_types_are_read(zipped, tmp_path):
  whole = torch.arange(24.0).reshape(4, 6)
  tensors = {
    'transposed': whole.T,
    'part': whole[1:, 2:],
    'half': whole.half(),
    'flags': whole > 3,
  }
  path = str(tmp_path / 'tensors.pth')
  torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
  arrays = torch_checkpoint.read(path)
  for name, value in tensors.items():
    np.testing.assert_array_equal(arrays[name], value.numpy())
  torch.save(torch.nn.Linear(2, 2), path)  # a whole network is code
  with pytest.raises(ValueError, match='it holds .*; allowed are state dictionaries'):
    torch_checkpoint.read(path)
