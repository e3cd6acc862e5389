"""The networks of `method_cases` hold what ours hold and compute what ours compute.

Ours pad strided convolutions as XLA's 'SAME' does, at the far end; PyTorch pads at the
near one. Turned round along both axes the one is the other, so PyTorch's networks get
turned kernels and turned images.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uad_jax.methods import ddpm, fanogan, vae, vqvae_transformer

torch = pytest.importorskip(
  'torch', reason='PyTorch is not installed: nothing to compare'
)

from benchmarks import (  # noqa: E402
  method_cases,
  torch_ddpm,
  torch_fanogan,
  torch_vae,
  torch_vqvae,
)

SIZE = 32


def turned(image):
  """[B, *S, C] turned round as a tensor [B, C, *S]."""
  return torch.tensor(np.array(image)[:, ::-1, ::-1].transpose(0, 3, 1, 2).copy())


def array_for(module, parameter, leaf):
  """Our array as PyTorch's module holds it."""
  x = np.array(leaf)
  if x.ndim == 4 and isinstance(module, torch_fanogan.GridNorm):
    x = x.transpose(0, 3, 1, 2)[..., ::-1, ::-1]
  elif isinstance(module, torch_fanogan.ToVector) and x.ndim > 1:
    side = round((x.shape[0] / 2) ** 0.5)  # of two channels
    x = x.reshape(side, side, -1, x.shape[-1])[::-1, ::-1]
    x = x.reshape(-1, x.shape[-1]).T
  elif isinstance(module, torch_fanogan.FromVector):
    x = x.reshape(-1, *module.grid)[:, ::-1, ::-1].reshape(*x.shape)
    x = x.T if x.ndim > 1 else x
  elif x.ndim == 4 and isinstance(module, torch.nn.ConvTranspose2d):
    x = x.transpose(2, 3, 0, 1)  # whose kernel PyTorch turns itself
  elif x.ndim == 4:
    x = x.transpose(3, 2, 0, 1)[..., ::-1, ::-1]
  elif parameter.ndim > 1:
    x = x.reshape(parameter.shape[1], -1).T
  return torch.tensor(x.reshape(parameter.shape).copy())


def paired(net, tree):
  """PyTorch's parameters with our arrays for them, in the order of the network."""
  modules = [
    (module, parameter)
    for module in net.modules()
    for parameter in module.parameters(recurse=False)
  ]
  leaves = jax.tree.leaves(tree)
  for (module, parameter), leaf in zip(modules, leaves, strict=True):
    yield parameter, array_for(module, parameter, leaf)


def ordered(params, names):
  """The leaves of the named networks in the order in which they were made."""

  def leaves(tree):
    found = tree.values() if isinstance(tree, dict) else None
    return [x for v in found for x in leaves(v)] if found is not None else [tree]

  return [leaf for name in names for leaf in leaves(params[name])]


def close(ours, theirs, what):
  ours, theirs = np.asarray(ours), np.asarray(theirs)
  # A bias before a normalisation has no gradient but rounding.
  atol = 2e-6 + 2e-4 * np.abs(theirs).max()
  np.testing.assert_allclose(ours, theirs, atol=atol, err_msg=what)


@pytest.fixture
def batch():
  image = np.random.default_rng(0).uniform(size=(3, SIZE, SIZE, 1)).astype('float32')
  return {
    'image': image,
    'mask': np.ones_like(image),
    'position': np.array([0.2, 0.5, 0.9], 'float32'),
    'weight': np.ones(3, 'float32'),
  }


def rough(params, key):
  """The parameters moved, so that none is zero, in their order."""

  def moved(tree):
    nonlocal key
    if isinstance(tree, dict):
      return {name: moved(value) for name, value in tree.items()}
    key, own = jax.random.split(key)
    return tree + 0.05 * jax.random.normal(own, tree.shape)

  return moved(params)


def compare(method, objective, nets, net, theirs, batch, key, step=0):
  """Copies, and compares the loss and all of its gradients."""
  params, stats = method.init(key, batch)
  params = rough(params, key)
  whole = ordered(params, [name for name, _ in net.named_children()])
  for parameter, value in paired(net, whole):
    parameter.data = value
  loss = method.objectives[objective].loss

  def ours(own):
    return loss({**params, **own}, stats, batch, key, jnp.asarray(step))[0]

  value, grads = jax.jit(jax.value_and_grad(ours))({n: params[n] for n in nets})
  want = theirs(stats)
  want.backward()
  close(value, want.item(), 'loss')
  names = {n: dict(net.named_children())[n] for n in nets}
  for name, module in names.items():
    like = jax.tree.map(lambda _, g: g, params[name], grads[name])
    own = ordered({name: reordered(params[name], like)}, [name])
    for number, (parameter, gradient) in enumerate(paired(module, own)):
      close(gradient, parameter.grad, f'{name} {number}')
  return params, stats


def reordered(like, tree):
  """A tree that jit sorted by name, in the order of another."""
  if not isinstance(like, dict):
    return tree
  return {name: reordered(value, tree[name]) for name, value in like.items()}


def test_vae_is_that_of_pytorch(batch, key):
  method = vae.make((SIZE, SIZE), widths=(8, 16), latent=2)
  net = torch_vae.TorchVae((8, 16), 2)
  noise = turned(jax.random.normal(key, (3, SIZE // 4, SIZE // 4, 2)))
  x, position = turned(batch['image']), torch.from_numpy(batch['position'])
  params, stats = compare(
    method,
    'vae',
    ('encoder', 'decoder'),
    net,
    lambda _: torch_vae.loss(net, x, position, noise),
    batch,
    key,
    step=1000,
  )
  found = jax.jit(method.infer)(params, stats, batch, key)['reconstruction']
  close(turned(found), net(x, position).detach(), 'reconstruction')


@pytest.mark.parametrize('objective', ['critic', 'generator'])
def test_fanogan_is_that_of_pytorch(objective, batch, key):
  sizes = {'widths': (4, 16), 'latent': 5}
  method = fanogan.make((SIZE, SIZE), critic=(4, 16), **sizes)
  net = torch_fanogan.TorchFanogan(SIZE, **sizes)
  key_draw, key_between = jax.random.split(key)
  key_draw = key_draw if objective == 'critic' else key
  z = torch.tensor(np.array(jax.random.normal(key_draw, (3, 5))))
  mix = torch.tensor(np.array(jax.random.uniform(key_between, (3,))))
  x = turned(batch['image'])
  theirs = {
    'critic': lambda _: torch_fanogan.critic_loss(net, x, z, mix),
    'generator': lambda _: torch_fanogan.generator_loss(net, z),
  }[objective]
  params, stats = compare(method, objective, (objective,), net, theirs, batch, key)
  found = jax.jit(method.infer)(params, stats, batch, key)['reconstruction']
  close(turned(found), net(x).detach(), 'reconstruction')


def test_vqvae_is_that_of_pytorch(batch, key):
  sizes = {'widths': (4, 8), 'units': 1, 'codes': 8, 'size': 4}
  method = vqvae_transformer.make((SIZE, SIZE), **sizes, width=8, depth=1, heads=1)
  net = torch_vqvae.TorchVqvae(**sizes)
  x = turned(batch['image'])

  def theirs(stats):
    for name, value in stats['codebook'].items():
      getattr(net, name).copy_(torch.tensor(np.array(value)))
    return torch_vqvae.loss(net, x)

  params, stats = compare(
    method, 'autoencoder', ('encoder', 'decoder'), net, theirs, batch, key
  )
  step = jnp.asarray(0)
  loss = method.objectives['autoencoder'].loss
  moved = jax.jit(loss)(params, stats, batch, key, step)[1][0]['codebook']
  for name in ('codes', 'count', 'total'):
    close(moved[name], getattr(net, name), name)


def test_diffusion_is_that_of_pytorch(batch, key):
  sizes = {'widths': (4, 8), 'blocks': 1, 'attention': 16, 'heads': 2}
  method = ddpm.make((SIZE, SIZE), **sizes, furthest=400, position=True)
  net = torch_ddpm.TorchUNet(SIZE, **sizes)
  key_time, key_noise = jax.random.split(key)
  time = torch.tensor(np.array(jax.random.randint(key_time, (3,), 1, 401)).astype(int))
  noise = turned(jax.random.normal(key_noise, batch['image'].shape))
  x, position = turned(batch['image']), torch.from_numpy(batch['position'])
  compare(
    method,
    'noise',
    ('unet',),
    torch.nn.ModuleDict({'unet': net}),
    lambda _: torch_ddpm.loss(net, x, position, time, noise),
    batch,
    key,
  )


@pytest.mark.parametrize('name', ['vae', 'fanogan', 'vqvae_transformer', 'ddpm'])
def test_the_sizes_compared_are_those_of_the_configs(name):
  method, batch = method_cases.ours(name)
  params, _ = jax.eval_shape(method.init, jax.random.key(0), batch)
  params.pop('transformer', None)  # the second stage, which is not compared
  ours = sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(params))
  assert ours == sum(p.numel() for p in method_cases.net_of(name).parameters())
