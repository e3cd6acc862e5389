import jax
import numpy as np
import pytest

from uad_jax.method import Batch
from uad_jax.methods import dae

torch = pytest.importorskip(
  'torch', reason='PyTorch is not installed: nothing to compare'
)

from benchmarks import torch_dae  # noqa: E402

WIDTHS = (4, 6, 8)
BETA = 0.5


def conv_weight(kernel):
  return torch.from_numpy(np.array(kernel).transpose(3, 2, 0, 1).copy())


def load(module, params, stats, transpose=False):
  """Our block's parameters into PyTorch's."""
  kernel = np.array(params['conv']['kernel'])
  weight = kernel.transpose(2, 3, 0, 1) if transpose else kernel.transpose(3, 2, 0, 1)
  module['conv'].weight.data = torch.from_numpy(weight.copy())
  module['conv'].bias.data = torch.from_numpy(np.array(params['conv']['bias']))
  norm = module['norm']
  norm.weight.data = torch.from_numpy(np.array(params['norm']['scale']))
  norm.bias.data = torch.from_numpy(np.array(params['norm']['bias']))
  norm.running_mean.data = torch.from_numpy(np.array(stats['norm']['mean']))
  norm.running_var.data = torch.from_numpy(np.array(stats['norm']['var']))


def copy_to_torch(params, stats):
  net = torch_dae.TorchDae(WIDTHS, taps=2)
  for i in range(len(WIDTHS)):
    load(net.encoder[i], *(t['encoder'][f'level{i}'] for t in (params, stats)))
    back = net.decoder[len(WIDTHS) - 1 - i]
    load(back, *(t['decoder'][f'level{i}'] for t in (params, stats)))
  for i in range(2):
    load(
      net.deformer[1 - i], *(t['deformer'][f'level{i}'] for t in (params, stats)), True
    )
  for name, module in (('head', net.head), ('velocity', net.flow)):
    own = params['decoder' if name == 'head' else 'deformer'][name]
    module.weight.data = conv_weight(own['kernel'])
    module.bias.data = torch.from_numpy(np.array(own['bias']))
  return net


@pytest.fixture
def both(key):
  """Our method and PyTorch's network with the same parameters, on the same images."""
  method = dae.make(
    (32, 32), widths=WIDTHS, taps=2, steps=10, warm_up=0.0, ramp=1.0, stiffness=1.0
  )
  image = np.random.default_rng(0).uniform(size=(3, 32, 32, 1)).astype('float32')
  batch: Batch = {'image': image, 'weight': np.ones(3, 'float32')}
  params, stats = jax.jit(method.init)(key, batch)
  # A field that moves something, to have something to compare.
  velocity = params['deformer']['velocity']
  velocity['kernel'] = 0.5 * jax.random.normal(key, velocity['kernel'].shape)
  net = copy_to_torch(params, stats)
  return method, params, stats, batch, net, torch.from_numpy(image).permute(0, 3, 1, 2)


def test_inference_is_that_of_pytorch(both, key):
  method, params, stats, batch, net, image = both
  outputs = jax.jit(method.infer)(params, stats, batch, key)
  with torch.no_grad():
    prior, velocity = net.eval()(image)
    displacement = torch_dae.integrate(velocity)
    warped = torch_dae.warp(prior, displacement)
  assert np.abs(outputs['displacement']).max() > 0.3
  for name, want in (
    ('prior', prior),
    ('velocity', velocity),
    ('displacement', displacement),
    ('reconstruction', warped),
  ):
    want = want.permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(outputs[name], want, atol=1e-4, err_msg=name)


def test_losses_gradients_and_statistics_are_those_of_pytorch(both, key):
  method, params, stats, batch, net, image = both
  objective = method.objectives['autoencoder'].loss
  step = jax.numpy.asarray(5)  # beta is half of its final value
  (value, (moved, _)), grads = jax.jit(jax.value_and_grad(objective, has_aux=True))(
    params, stats, batch, key, step
  )
  want = torch_dae.loss(net.train(), image, BETA)
  np.testing.assert_allclose(value, want.item(), rtol=1e-5)
  want.backward()
  for ours, theirs, transposed in (
    (grads['encoder']['level0'], net.encoder[0], False),
    (grads['encoder']['level2'], net.encoder[2], False),
    (grads['decoder']['level0'], net.decoder[2], False),
    (grads['deformer']['level1'], net.deformer[0], True),
  ):
    order = (2, 3, 0, 1) if transposed else (2, 3, 1, 0)
    weight = theirs['conv'].weight.grad.permute(*order).numpy()
    scale = np.abs(weight).max()
    np.testing.assert_allclose(ours['conv']['kernel'], weight, atol=2e-3 * scale)
  flow = net.flow.weight.grad.permute(2, 3, 1, 0).numpy()
  np.testing.assert_allclose(
    grads['deformer']['velocity']['kernel'], flow, atol=2e-3 * np.abs(flow).max()
  )
  for name in ('mean', 'var'):
    np.testing.assert_allclose(
      moved['encoder']['level0']['norm'][name],
      getattr(net.encoder[0]['norm'], f'running_{name}').numpy(),
      rtol=1e-4,
      atol=1e-6,
    )
