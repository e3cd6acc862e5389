"""PyTorch twin of Glow, channels last, for the timings."""

import math

import torch
import torch.nn.functional as F
from torch import nn


def squeeze(x):
  """Turns blocks of 2 x 2 pixels into channels, [B, 4 C, H / 2, W / 2]."""
  b, c, h, w = x.shape
  x = x.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 3, 5, 1)
  return x.reshape(b, h // 2, w // 2, 4 * c).permute(0, 3, 1, 2)


class Scale(nn.Module):
  """Scale and shift of each channel."""

  def __init__(self, width):
    super().__init__()
    self.shift = nn.Parameter(torch.zeros(1, width, 1, 1))
    self.log_scale = nn.Parameter(torch.zeros(1, width, 1, 1))

  def forward(self, x):
    return (x + self.shift) * self.log_scale.exp(), self.log_scale.sum()


class Step(nn.Module):
  """Normalisation, mixing of the channels, and affine coupling."""

  def __init__(self, width, hidden):
    super().__init__()
    self.norm = Scale(width)
    self.matrix = nn.Parameter(nn.init.orthogonal_(torch.empty(width, width)))
    self.coupling = nn.Sequential(
      nn.Conv2d(width // 2, hidden, 3, padding=1),
      nn.ReLU(),
      nn.Conv2d(hidden, hidden, 1),
      nn.ReLU(),
      nn.Conv2d(hidden, width, 3, padding=1),
    )

  def forward(self, x):
    x, total = self.norm(x)
    x = F.conv2d(x, self.matrix[:, :, None, None])
    total = total + torch.linalg.slogdet(self.matrix)[1]
    fixed, moved = x.chunk(2, 1)
    shift, raw = self.coupling(fixed).chunk(2, 1)
    log_scale = F.logsigmoid(raw + 2)
    moved = (moved + shift) * log_scale.exp()
    return torch.cat([fixed, moved], 1), total + log_scale.sum(1)


class TorchGlow(nn.Module):
  """Glow with the sizes of configs/glow.py."""

  def __init__(self, levels=3, steps=8, hidden=64):
    super().__init__()
    widths = [4 * 2**level for level in range(levels)]
    self.scales = nn.ModuleList(
      nn.ModuleList(Step(width, hidden) for _ in range(steps)) for width in widths
    )
    leaving = [width // 2 for width in widths[:-1]] + widths[-1:]
    self.latents = nn.ModuleList(Scale(width) for width in leaving)

  def forward(self, x):
    """Computes log p(image), [B]."""
    total = 0.0
    for level, (steps, scaled) in enumerate(
      zip(self.scales, self.latents, strict=True)
    ):
      x = squeeze(x)
      log_det = 0.0
      for step in steps:
        x, change = step(x)
        log_det = log_det + change
      leaving, x = (x, None) if level == len(self.scales) - 1 else x.chunk(2, 1)
      z, change = scaled(leaving)
      normal = -0.5 * (z.square() + math.log(2 * math.pi)).sum(1)
      total = total + (normal + log_det + change).sum((1, 2))
    return total


def loss(net, x, noise=1 / 256):
  """Negative log-density of noisy images, in nats for each dimension."""
  return -net(x + noise * torch.rand_like(x)).mean() / x[0].numel()
