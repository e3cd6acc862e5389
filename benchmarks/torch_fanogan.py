"""PyTorch twin of f-AnoGAN, channels last, for the timings."""

import torch
import torch.nn.functional as F
from torch import nn

WIDTHS = (32, 64, 128, 128)


class GridNorm(nn.Module):
  """Instance normalisation with a scale and a bias for each voxel."""

  def __init__(self, size):
    super().__init__()
    self.weight = nn.Parameter(torch.ones(1, 1, size, size))
    self.bias = nn.Parameter(torch.zeros(1, 1, size, size))

  def forward(self, x):
    x = x - x.mean((2, 3), keepdim=True)
    return x * ((x**2).mean((2, 3), keepdim=True) + 1e-3).rsqrt() * self.weight + (
      self.bias
    )


def strided(befores, widths):
  """Makes strided 5 x 5 convolutions, one for each pair of widths."""
  return [
    nn.Conv2d(b, w, 5, 2, padding=2) for b, w in zip(befores, widths, strict=True)
  ]


class ToVector(nn.Linear):
  """Dense layer from a flattened grid, in channels-last order."""

  def forward(self, x):
    return super().forward(x.permute(0, 2, 3, 1).flatten(1))


class FromVector(nn.Linear):
  """Dense layer to a grid, in channels-last order."""

  def __init__(self, latent, size, width):
    super().__init__(latent, size * size * width)
    self.grid = (size, size, width)

  def forward(self, z):
    return super().forward(z).unflatten(1, self.grid).permute(0, 3, 1, 2)


class Encoder(nn.Sequential):
  """Encoder from an image to a latent in [-1, 1]."""

  def __init__(self, size, widths=WIDTHS, latent=128):
    layers, coarse = [], size // 2 ** len(widths)
    for conv in strided((1, *widths[:-1]), widths):
      layers += [conv, nn.LeakyReLU(0.3)]
    narrow = widths[-1] // 8
    layers += [nn.Conv2d(widths[-1], narrow, 1)]
    super().__init__(*layers, ToVector(coarse**2 * narrow, latent), nn.Tanh())


class Generator(nn.Sequential):
  """Generator from a latent to an image in [0, 1]."""

  def __init__(self, size, widths=WIDTHS, latent=128):
    coarse, last = size // 2 ** len(widths), widths[-1]
    mirrored = [max(widths[0], last // 2**i) for i in range(len(widths))]
    layers = [FromVector(latent, coarse, last // 8), nn.Conv2d(last // 8, last, 1)]
    layers += [GridNorm(coarse), nn.ReLU()]
    for before, width in zip((last, *mirrored[:-1]), mirrored, strict=True):
      coarse *= 2
      up = nn.ConvTranspose2d(before, width, 5, 2, padding=2, output_padding=1)
      layers += [up, GridNorm(coarse), nn.LeakyReLU(0.3)]
    super().__init__(*layers, nn.Conv2d(mirrored[-1], 1, 1), nn.Sigmoid())


class Critic(nn.Module):
  """Critic: the Wasserstein value of an image; `features` are its feature maps."""

  def __init__(self, size, widths=WIDTHS):
    super().__init__()
    layers = []
    for conv in strided((1, *widths[:-1]), widths):
      size //= 2
      layers += [conv, GridNorm(size), nn.LeakyReLU(0.3)]
    self.features = nn.Sequential(*layers)
    self.value = nn.Conv2d(widths[-1], 1, 1)

  def forward(self, x):
    return self.value(self.features(x)).mean((1, 2, 3))


class TorchFanogan(nn.Module):
  """Encoder, generator and critic of f-AnoGAN."""

  def __init__(self, size=128, widths=WIDTHS, latent=128):
    super().__init__()
    self.encoder = Encoder(size, widths, latent)
    self.generator = Generator(size, widths, latent)
    self.critic = Critic(size, widths)

  def forward(self, x):
    """Reconstructs the images."""
    return self.generator(self.encoder(x))


def critic_loss(net, x, z, mix=None, penalty=10.0):
  """Wasserstein loss of the critic with gradient penalty."""
  with torch.no_grad():
    fake = net.generator(z)
  mix = torch.rand(len(x)) if mix is None else mix
  between = (x + mix[:, None, None, None] * (fake - x)).requires_grad_()
  (gradient,) = torch.autograd.grad(
    net.critic(between).sum(), between, create_graph=True
  )
  norm = (gradient.flatten(1).square().sum(1) + 1e-12).sqrt()
  distance = (net.critic(x) - net.critic(fake)).mean()
  return penalty * ((norm - 1) ** 2).mean() - distance


def generator_loss(net, z):
  """Loss of the generator: minus the critic's value of generated images."""
  return -net.critic(net.generator(z)).mean()


def encoder_loss(net, x):
  """Loss of the encoder: squared errors of the image and of the critic's features."""
  found = net(x)
  with torch.no_grad():
    real = net.critic.features(x)
  return F.mse_loss(found, x) + F.mse_loss(net.critic.features(found), real)
