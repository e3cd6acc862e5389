"""PyTorch twin of the convolutional VAE, channels last, for the timings."""

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
  """Convolution, group normalisation, FiLM and swish; `up` first doubles the grid."""

  def __init__(self, before, width, stride=1, vector=0, up=False):
    super().__init__()
    self.conv = nn.Conv2d(before, width, 3, stride, 1, bias=False)
    self.film = nn.Linear(vector, 2 * width) if vector else None
    self.norm = nn.GroupNorm(max(1, width // 8), width, eps=1e-6)
    self.up = up

  def forward(self, x, vector=None):
    if self.up:
      x = F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
    x = self.norm(self.conv(x))
    if self.film:
      scale, shift = self.film(vector)[..., None, None].chunk(2, 1)
      x = x * (1 + scale) + shift
    return F.silu(x)


def position_features(position, frequencies=4):
  """Sine and cosine features [B, 2 * frequencies] of the slice height."""
  angle = torch.pi * position[:, None] * 2.0 ** torch.arange(frequencies)
  return torch.cat([angle.sin(), angle.cos()], -1)


class Decoder(nn.Module):
  """Decoder from latent and slice height to the image's mean and log variance."""

  def __init__(self, widths, latent, vector=8):
    super().__init__()
    self.first = Block(latent + vector, widths[0])
    befores = (widths[0], *widths[:-1])
    self.blocks = nn.ModuleList(
      Block(b, w, vector=vector, up=True) for b, w in zip(befores, widths, strict=True)
    )
    self.log_variance = nn.Conv2d(widths[-1], 1, 3, padding=1)
    self.mean = nn.Conv2d(widths[-1], 1, 3, padding=1)

  def forward(self, z, position):
    vector = position_features(position)
    where = vector[..., None, None].expand(-1, -1, *z.shape[2:])
    x = self.first(torch.cat([z, where], 1))
    for block in self.blocks:
      x = block(x, vector)
    return self.mean(x), self.log_variance(x).clamp(-9, 2)


class TorchVae(nn.Module):
  """Encoder and decoder of the VAE."""

  def __init__(self, widths=(8, 16, 32, 64, 128), latent=16):
    super().__init__()
    befores = (1, *widths[:-1])
    self.encoder = nn.Sequential(
      *(Block(b, w, stride=2) for b, w in zip(befores, widths, strict=True)),
      nn.Conv2d(widths[-1], 2 * latent, 1),
    )
    self.decoder = Decoder(widths[::-1], latent)

  def encode(self, x):
    """Returns mean and log variance of the latent."""
    mean, log_variance = self.encoder(x).chunk(2, 1)
    return mean, log_variance.clamp(-12, 6)

  def forward(self, x, position):
    """Reconstructs the images from the latent's mean."""
    return self.decoder(self.encode(x)[0], position)[0]


def loss(net, x, position, noise=None, beta=1e-3):
  """Training loss of the VAE: heteroscedastic error and weighted KL divergence."""
  mean, log_variance = net.encode(x)
  noise = torch.randn_like(mean) if noise is None else noise
  z = mean + (0.5 * log_variance).exp() * noise
  expected, spread = net.decoder(z, position)
  error = 0.5 * ((x - expected) ** 2 * (-spread).exp() + spread)
  error = (spread.detach() * 0.5).exp() * error
  kl = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1)
  return error.mean() + beta * kl.flatten(1).sum(1).mean() / kl[0].numel()
