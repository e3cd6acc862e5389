"""PyTorch twin of VoxelMorph in 3-D, channels last, for the timings."""

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.torch_dae import warp


class TorchVoxelMorph(nn.Module):
  """U-Net of VoxelMorph with the convolution that gives the displacement."""

  def __init__(self, encoder=(16, 32, 32, 32), decoder=(32, 32, 32, 32, 32, 16, 16)):
    super().__init__()
    befores = (2, *encoder[:-1])
    self.encoder = nn.ModuleList(
      nn.Conv3d(b, w, 3, 2, 1) for b, w in zip(befores, encoder, strict=True)
    )
    levels = len(encoder)
    skips = (0, *encoder[-2::-1], 0, 2)
    before, layers = encoder[-1], []
    for number, width in enumerate(decoder):
      more = skips[number] if number < len(skips) else 0
      layers.append(nn.Conv3d(before + more, width, 3, 1, 1))
      before = width
    self.decoder = nn.ModuleList(layers)
    self.field = nn.Conv3d(before, 3, 3, 1, 1)
    self.levels = levels

  def forward(self, moving, fixed):
    """Predicts the displacement [B, 3, *S] from images [B, 1, *S]."""
    skips = [torch.cat([moving, fixed], 1)]
    for layer in self.encoder:
      skips.append(F.leaky_relu(layer(skips[-1]), 0.2))

    def joined(x, skip):
      x = F.interpolate(x, scale_factor=2, mode='nearest')
      x = x[..., : skip.shape[2], : skip.shape[3], : skip.shape[4]]
      return torch.cat([x, skip], 1)

    x = F.leaky_relu(self.decoder[0](skips[-1]), 0.2)
    for layer, skip in zip(self.decoder[1 : self.levels], skips[-2:0:-1], strict=True):
      x = F.leaky_relu(layer(joined(x, skip)), 0.2)
    x = F.leaky_relu(self.decoder[self.levels](x), 0.2)
    x = joined(x, skips[0])
    for layer in self.decoder[self.levels + 1 :]:
      x = F.leaky_relu(layer(x), 0.2)
    return self.field(x)


def loss(net, moving, fixed, smoothness=0.01):
  """Squared difference after the warp, and the roughness of the displacement."""
  u = net(moving, fixed)
  error = ((fixed - warp(moving, u)) ** 2).mean()
  steps = (u.diff(dim=axis) for axis in (2, 3, 4))
  return error + smoothness * sum((step**2).mean() for step in steps) / 3
