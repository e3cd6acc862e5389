"""PyTorch twin of the diffusion U-Net, channels last, for the timings."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.torch_vae import position_features


def norm(width):
  """Makes a group normalisation with the groups that our U-Net uses."""
  return nn.GroupNorm(math.gcd(32, max(1, width // 4)), width, eps=1e-6)


class Residual(nn.Module):
  """Residual block with FiLM by the vector of time and slice height."""

  def __init__(self, before, width, vector):
    super().__init__()
    self.norm_0 = norm(before)
    self.conv_0 = nn.Conv2d(before, width, 3, padding=1)
    self.film = nn.Linear(vector, 2 * width)
    self.norm_1 = norm(width)
    self.conv_1 = nn.Conv2d(width, width, 3, padding=1)
    self.short = nn.Conv2d(before, width, 1) if before != width else nn.Identity()

  def forward(self, x, vector):
    y = self.conv_0(F.silu(self.norm_0(x)))
    scale, shift = self.film(F.silu(vector))[..., None, None].chunk(2, 1)
    y = F.silu(self.norm_1(y) * (1 + scale) + shift)
    return self.short(x) + self.conv_1(y)


class Attention(nn.Module):
  """Self-attention over the voxels of a plane, residual."""

  def __init__(self, width, heads):
    super().__init__()
    self.norm = norm(width)
    self.query, self.key, self.value, self.out = (
      nn.Linear(width, width) for _ in range(4)
    )
    self.heads = heads

  def forward(self, x):
    flat = self.norm(x).flatten(2).mT
    each = (f(flat) for f in (self.query, self.key, self.value))
    each = [y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in each]
    found = F.scaled_dot_product_attention(*each).transpose(1, 2).flatten(2)
    return x + self.out(found).mT.unflatten(2, x.shape[2:])


class Stage(nn.Module):
  """Residual block, followed by self-attention if `attend`."""

  def __init__(self, before, width, vector, attend, heads):
    super().__init__()
    self.residual = Residual(before, width, vector)
    self.attention = Attention(width, heads) if attend else nn.Identity()

  def forward(self, x, vector):
    return self.attention(self.residual(x, vector))


class Up(nn.Conv2d):
  """Convolution after bilinear upsampling by 2."""

  def forward(self, x):
    x = F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
    return super().forward(x)


class TorchUNet(nn.Module):
  """U-Net that predicts the noise, conditioned on time and slice height."""

  def __init__(
    self, size=128, widths=(8, 16, 32, 64, 64), blocks=1, attention=8, heads=2
  ):
    super().__init__()
    self.frequencies = widths[0] // 2
    vector = 4 * widths[0]
    self.of_time = nn.Linear(2 * self.frequencies, vector)
    self.of_position = nn.Linear(8, vector, bias=False)
    self.when = nn.Linear(vector, vector)

    def stage(before, width):
      return Stage(before, width, vector, size <= attention, heads)

    self.first = nn.Conv2d(1, widths[0], 3, padding=1)
    before, skips, self.down = widths[0], [widths[0]], nn.ModuleList()
    for level, width in enumerate(widths):
      if level:
        self.down.append(nn.Conv2d(before, before, 3, 2, padding=1))
        size //= 2
        skips.append(before)
      for _ in range(blocks):
        self.down.append(stage(before, width))
        before = width
        skips.append(width)
    self.middle = nn.ModuleList(
      [stage(before, before), Residual(before, before, vector)]
    )
    self.up = nn.ModuleList()
    for level, width in reversed(list(enumerate(widths))):
      for _ in range(blocks + 1):
        self.up.append(stage(before + skips.pop(), width))
        before = width
      if level:
        self.up.append(Up(width, width, 3, padding=1))
        size *= 2
    self.norm, self.last = norm(before), nn.Conv2d(before, 1, 3, padding=1)

  def forward(self, x, time, position):
    rate = -math.log(1e4) * torch.arange(self.frequencies) / self.frequencies
    angle = time[:, None] * rate.exp()
    when = self.of_time(torch.cat([angle.sin(), angle.cos()], -1))
    when = self.when(F.silu(when + self.of_position(position_features(position))))
    x = self.first(x)
    skips = [x]
    for layer in self.down:
      x = layer(x, when) if isinstance(layer, Stage) else layer(x)
      skips.append(x)
    for layer in self.middle:
      x = layer(x, when)
    for layer in self.up:
      if isinstance(layer, Stage):
        x = layer(torch.cat([x, skips.pop()], 1), when)
      else:
        x = layer(x)
    return self.last(F.silu(self.norm(x)))


KEPT = torch.cat(
  [torch.ones(1), torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)]
)


def scaled(image, low=0.0, high=1.2):
  """Scales intensities from [low, high] to [-1, 1]."""
  return 2 * (image - low) / (high - low) - 1


def loss(net, image, position, time=None, noise=None, furthest=400):
  """Denoising loss: mean squared error of the predicted noise."""
  time = torch.randint(1, furthest + 1, (len(image),)) if time is None else time
  noise = torch.randn_like(image) if noise is None else noise
  share = KEPT[time][:, None, None, None]
  x = share.sqrt() * scaled(image) + (1 - share).sqrt() * noise
  return F.mse_loss(net(x, time.float(), position), noise)


@torch.no_grad()
def restored(net, image, position, start=250, hops=10):
  """Noises images to step `start` and runs the reverse chain in `hops` steps."""
  steps = torch.linspace(start, 0, hops + 1).round().long()
  x = KEPT[start].sqrt() * scaled(image)
  x = x + (1 - KEPT[start]).sqrt() * torch.randn_like(x)
  for now, then in zip(steps[:-1], steps[1:], strict=True):
    noise = net(x, now.float().expand(len(x)), position)
    found = ((x - (1 - KEPT[now]).sqrt() * noise) / KEPT[now].sqrt()).clamp(-1, 1)
    share = KEPT[now] / KEPT[then]
    mean = KEPT[then].sqrt() * (1 - share) / (1 - KEPT[now]) * found
    mean = mean + share.sqrt() * (1 - KEPT[then]) / (1 - KEPT[now]) * x
    variance = (1 - share) * (1 - KEPT[then]) / (1 - KEPT[now])
    x = mean + variance.sqrt() * torch.randn_like(x)
  return x
