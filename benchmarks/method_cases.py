"""Cases of VAE, f-AnoGAN, VQ-VAE, DDPM and Glow, 128 x 128: training and inference."""

import functools
from collections.abc import Callable

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
from uad_jax import experiment
from uad_jax.comparison.benchmark_rows import read_config

if torch:
  from benchmarks import torch_ddpm, torch_fanogan, torch_glow, torch_vae, torch_vqvae

SIZE = 128
# The step of the U-Net is compared, not the simplex noise, which PyTorch has not.
# Glow's second network would be trained by an objective of its own.
CHANGED = {'ddpm': {'noise': 'gaussian'}, 'glow': {'general': 'none'}}
GAN = {'lr': 5e-4, 'betas': (0.5, 0.9)}


def ours(name: str):
  """Makes a config's method, without adaptation, and a batch of random images."""
  config = read_config(name, 'slices')
  config.adapt = {}
  config.method.update(CHANGED.get(name, {}))
  grid = (SIZE, SIZE)
  return experiment.make_method(config, grid, 1), scans(config.batch_size, *grid)


def tensors(batch: dict):
  """Converts the batch's images and slice heights to PyTorch tensors."""
  return planes(batch['image']), torch.from_numpy(batch['position'])


def net_of(name: str):
  """Makes the PyTorch network of a method, channels last."""
  made = {
    'vae': lambda: torch_vae.TorchVae(),
    'fanogan': lambda: torch_fanogan.TorchFanogan(),
    'vqvae_transformer': lambda: torch_vqvae.TorchVqvae(),
    'ddpm': lambda: torch_ddpm.TorchUNet(),
    'glow': lambda: torch_glow.TorchGlow(),
  }
  return made[name]().to(memory_format=torch.channels_last)


def loss_of(net, objective: str, x, position) -> Callable:
  """Makes the PyTorch function of an objective's loss, without arguments.

  Args:
    net: PyTorch network.
    objective: Name of the objective.
    x: Images [B, 1, H, W].
    position: Slice heights [B].
  """

  def noise():
    return torch.randn(len(x), 128)

  return {
    'vae': lambda: torch_vae.loss(net, x, position),
    'critic': lambda: torch_fanogan.critic_loss(net, x, noise()),
    'generator': lambda: torch_fanogan.generator_loss(net, noise()),
    'autoencoder': lambda: torch_vqvae.loss(net, x),
    'noise': lambda: torch_ddpm.loss(net, x, position),
    'flow': lambda: torch_glow.loss(net, x),
  }[objective]


def step(name: str, objective: str, trained: str = '') -> Case:
  """One update of an objective.

  Args:
    name: Name of the method.
    objective: Name of the objective.
    trained: Part of the PyTorch network that the objective updates; '' for all of it.
  """
  method, batch = ours(name)
  own = {'name': 'adam_critic', 'learning_rate': 5e-4} if trained else {}
  mine = our_step(method, batch, objective, **own)
  if torch is None:
    return Case(mine, None)
  net = net_of(name)
  for part, module in net.named_children():
    module.requires_grad_(part == trained or not trained)
  moved = getattr(net, trained) if trained else net
  theirs = loss_of(net, objective, *tensors(batch))
  return Case(mine, their_step(moved, theirs, **(GAN if trained else {'lr': 1e-3})))


def inference(name: str, output: str = 'reconstruction') -> Case:
  """One output of a method's inference."""
  method, batch = ours(name)
  mine = our_output(method, batch, output)
  if torch is None:
    return Case(mine, None)
  net, (x, position) = net_of(name).eval(), tensors(batch)
  theirs = {
    'vae': lambda: net(x, position),
    'ddpm': lambda: torch_ddpm.restored(net, x, position),
  }.get(name, lambda: net(x))
  return Case(mine, their_output(theirs))


CASES = {
  f'{label}, {batch} x 128 x 128': functools.partial(*call)
  for label, batch, *call in (
    ('vae training step', 32, step, 'vae', 'vae'),
    ('vae inference', 32, inference, 'vae'),
    ('fanogan critic step', 16, step, 'fanogan', 'critic', 'critic'),
    ('fanogan generator step', 16, step, 'fanogan', 'generator', 'generator'),
    ('fanogan inference', 16, inference, 'fanogan'),
    ('vqvae training step', 32, step, 'vqvae_transformer', 'autoencoder'),
    ('vqvae inference', 32, inference, 'vqvae_transformer', 'decoded'),
    ('ddpm training step', 16, step, 'ddpm', 'noise'),
    ('glow training step', 16, step, 'glow', 'flow'),
    ('ddpm inference, 10 evaluations', 16, inference, 'ddpm'),
  )
}
