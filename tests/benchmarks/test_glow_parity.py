"""PyTorch's Glow of the timings computes what ours computes."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uad_jax.methods import glow

torch = pytest.importorskip(
  'torch', reason='PyTorch is not installed: nothing to compare'
)

from benchmarks import torch_glow  # noqa: E402


def test_glow_gives_the_same_density(key):
  method = glow.make((32, 32), levels=2, steps=3, hidden=8, noise=0.0)
  x = jax.random.uniform(key, (2, 32, 32, 1))
  batch = {'image': x, 'mask': jnp.ones_like(x)}
  params, _ = method.init(key, batch)
  # The last convolution of a coupling begins as zeros, which would hide the others.
  params = jax.tree.map(lambda x: x + 0.01, params)
  net = torch_glow.TorchGlow(levels=2, steps=3, hidden=8)

  def fill(parameter, leaf):
    x = np.array(leaf)
    x = x.transpose(3, 2, 0, 1) if x.ndim == 4 else x
    x = x.T if x.ndim == 2 else x
    parameter.data = torch.tensor(x.reshape(parameter.shape).copy())

  def fill_scale(module, tree):
    fill(module.shift, tree['shift'])
    fill(module.log_scale, tree['log_scale'])

  for level, steps in enumerate(net.scales):
    fill_scale(net.latents[level], params['flow'][f'latent_{level}'])
    for i, step in enumerate(steps):
      ours = jax.tree.map(operator.itemgetter(i), params['flow'][f'scale_{level}'])
      fill_scale(step.norm, ours['norm'])
      fill(step.matrix, ours['mix']['matrix'])
      for number, conv in enumerate(step.coupling[::2]):
        fill(conv.weight, ours['to'][f'Conv_{number}']['kernel'])
        fill(conv.bias, ours['to'][f'Conv_{number}']['bias'])
  ours = method.infer(params, {}, batch, key)['log_density']
  theirs = net(torch.tensor(np.array(x).transpose(0, 3, 1, 2)))
  np.testing.assert_allclose(theirs.detach().numpy(), ours, rtol=1e-4)
