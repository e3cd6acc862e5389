"""PyTorch twin of the published deformable auto-encoder, optimised for the timings.

Channels-last convolutions, half-pixel bilinear upsampling, box filters of all moments
at once by running totals, grid_sample with border padding. `test_parity.py` copies
our parameters in and compares. Arrays are [B, C, H, W] in channels_last memory.
"""

import functools

import torch
import torch.nn.functional as F
from torch import nn


def block(convolution):
  """Makes a convolution with its batch normalisation."""
  return nn.ModuleDict(
    {
      'conv': convolution,
      'norm': nn.BatchNorm2d(convolution.out_channels, momentum=0.1),
    }
  )


class TorchDae(nn.Module):
  """Network: auto-encoder for the prior image, and the head for the velocity field."""

  def __init__(self, widths=(16, 32, 64, 128, 256, 256, 256), taps=3):
    super().__init__()
    down = list(zip((1, *widths[:-1]), widths, strict=True))
    up = list(zip((widths[-1], *reversed(widths[1:])), reversed(widths), strict=True))
    self.encoder = nn.ModuleList(
      block(nn.Conv2d(i, o, 3, stride=2, padding=1)) for i, o in down
    )
    self.decoder = nn.ModuleList(block(nn.Conv2d(i, o, 3, padding=1)) for i, o in up)
    self.head = nn.Conv2d(widths[0], 1, 1)
    # Encoder level l and decoder level -1-(l+1) lie on the same grid.
    inputs = [widths[t] + widths[t + 1] for t in range(taps)]
    self.deformer = nn.ModuleList(
      block(
        nn.ConvTranspose2d(
          inputs[t] + (0 if t == taps - 1 else 32), 32, 3, 2, 1, output_padding=1
        )
      )
      for t in reversed(range(taps))
    )
    self.flow = nn.Conv2d(32, 2, 3, padding=1)
    self.taps = taps

  def forward(self, x):
    """Returns the prior image [B, 1, H, W] and the velocity field [B, 2, H, W]."""
    down, up = [], []
    for layer in self.encoder:
      raw = layer['conv'](x)
      down.append(raw)
      x = F.silu(layer['norm'](raw))
    for layer in self.decoder:
      x = F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
      raw = layer['conv'](x)
      up.append(raw)
      x = F.silu(layer['norm'](raw))
    prior = torch.sigmoid(self.head(x))
    x = None
    for i, layer in enumerate(self.deformer):
      t = self.taps - 1 - i
      parts = [down[t], up[len(up) - 2 - t]] + ([] if x is None else [x])
      x = F.silu(layer['norm'](layer['conv'](torch.cat(parts, 1))))
    return prior, self.flow(x)


@functools.cache
def grid(spatial):
  """Voxel coordinates [H, W, 2] of a plane."""
  axes = [torch.arange(n, dtype=torch.float32) for n in spatial]
  return torch.stack(torch.meshgrid(*axes, indexing='ij'), -1)


def warp(image, displacement):
  """Warps an image by a displacement field in voxels, linear, border padding."""
  spatial = tuple(image.shape[2:])
  last = torch.tensor(spatial, dtype=torch.float32) - 1
  points = grid(spatial) + displacement.movedim(1, -1)
  points = (2 * points / last - 1).flip(-1)
  return F.grid_sample(image, points, padding_mode='border', align_corners=True)


def integrate(velocity, steps=7):
  """Integrates a velocity field by scaling and squaring."""
  u = velocity / 2**steps
  for _ in range(steps):
    u = u + warp(u, u)
  return u


def box_sum(x, window):
  """Sums over square windows by running totals; values beyond the border are 0.

  Several times as fast as avg_pool2d, and as our method of doubling in PyTorch.
  """
  half = window // 2
  x = x.contiguous(memory_format=torch.contiguous_format)
  for axis, padding in ((2, (0, 0, half + 1, half)), (3, (half + 1, half))):
    total, n = F.pad(x, padding).cumsum(axis), x.shape[axis]
    x = total.narrow(axis, window, n) - total.narrow(axis, 0, n)
  return x


def ncc_loss(a, b, epsilon=1e-5):
  """Local normalised cross-correlation loss, 1 - mean of the squared correlation."""
  sums = box_sum(torch.cat([torch.ones_like(a), a, b, a * a, b * b, a * b], 1), 9)
  n, a, b, aa, bb, ab = sums.chunk(6, 1)
  a, b = a / n, b / n
  aa, bb, ab = (aa / n - a * a).clamp(0), (bb / n - b * b).clamp(0), ab / n - a * b
  return 1 - (ab * ab / ((aa + epsilon) * (bb + epsilon))).mean()


def ssim_loss(a, b):
  """Structural similarity loss, 1 - mean SSIM, windows of 7 pixels."""
  sums = F.pad(torch.cat([a, b, a * a, b * b, a * b], 1), (3, 3, 3, 3), 'replicate')
  ma, mb, aa, bb, ab = (box_sum(sums, 7)[:, :, 3:-3, 3:-3] / 49).chunk(5, 1)
  unbiased, c1, c2 = 49 / 48, 0.01**2, 0.03**2
  aa, bb, ab = (unbiased * v for v in (aa - ma * ma, bb - mb * mb, ab - ma * mb))
  top = (2 * ma * mb + c1) * (2 * ab + c2)
  return 1 - (top / ((ma * ma + mb * mb + c1) * (aa + bb + c2))).mean()


def roughness(v):
  """Mean squared gradient of a velocity field, from central differences."""
  dy = (v[:, :, 2:] - v[:, :, :-2]) / 2
  dx = (v[:, :, :, 2:] - v[:, :, :, :-2]) / 2
  return ((dy**2).mean() + (dx**2).mean()) / 2


def loss(net, x, beta, ssim=1.0, delta=1.0):
  """Full training loss: reconstruction, SSIM, symmetric NCC and roughness."""
  prior, velocity = net(x)
  forth, back = integrate(velocity), integrate(-velocity)
  morph = 0.5 * (ncc_loss(x, warp(prior, forth)) + ncc_loss(prior, warp(x, back)))
  morph = morph + beta * roughness(velocity)
  return F.mse_loss(prior, x) + ssim * ssim_loss(prior, x) + delta * morph
