"""PyTorch twin of the VQ-VAE, channels last, for the timings."""

import torch
import torch.nn.functional as F
from torch import nn


class Residual(nn.Module):
  """Residual block of a 3 x 3 and a 1 x 1 convolution."""

  def __init__(self, width):
    super().__init__()
    self.wide = nn.Conv2d(width, width, 3, padding=1)
    self.narrow = nn.Conv2d(width, width, 1)

  def forward(self, x):
    return x + self.narrow(F.relu(self.wide(F.relu(x))))


class TorchVqvae(nn.Module):
  """VQ-VAE with a codebook that follows moving averages."""

  def __init__(self, widths=(16, 32, 64, 64), units=1, codes=32, size=16):
    super().__init__()
    layers, before = [], 1
    for width in widths:
      layers += [nn.Conv2d(before, width, 4, 2, padding=1), nn.ReLU()]
      layers += [Residual(width) for _ in range(units)]
      before = width
    self.encoder = nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(before, size, 1))
    layers = [nn.Conv2d(size, before, 3, padding=1)]
    for after in (*widths[-2::-1], widths[0]):
      layers += [Residual(before) for _ in range(units)]
      layers += [nn.ReLU(), nn.ConvTranspose2d(before, after, 4, 2, 1), nn.ReLU()]
      before = after
    self.decoder = nn.Sequential(*layers, nn.Conv2d(before, 1, 1))
    self.register_buffer('codes', torch.randn(codes, size))
    self.register_buffer('count', torch.ones(codes))
    self.register_buffer('total', self.codes.clone())

  def tokens(self, z):
    """Flattens latents [B, D, *S] to rows and finds the nearest code of each row.

    Returns:
      The rows [N, D] and the indices [N] of the codes.
    """
    rows = z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])
    return rows, (self.codes.square().sum(1) - 2 * rows @ self.codes.T).argmin(1)

  def quantised(self, z, tokens):
    """Returns the codes of `tokens` in the shape of `z`."""
    shape = (len(z), *z.shape[2:], z.shape[1])
    return self.codes[tokens].reshape(shape).permute(0, 3, 1, 2)

  @torch.no_grad()
  def follow(self, rows, tokens, decay=0.99, epsilon=1e-5, dead=0.05):
    """Updates the codebook by moving averages and replaces codes that are rarely used.

    Args:
      rows: Latents [N, D].
      tokens: Index [N] of each row's nearest code.
      decay: Decay of the moving averages.
      epsilon: Smoothing of the counts.
      dead: Codes with less than this share of the mean count are replaced.
    """
    one_hot = F.one_hot(tokens, len(self.codes)).float()
    self.count.lerp_(one_hot.sum(0), 1 - decay)
    self.total.lerp_(one_hot.T @ rows, 1 - decay)
    whole = self.count.sum()
    smoothed = (self.count + epsilon) / (whole + len(self.codes) * epsilon) * whole
    fresh = rows[torch.randint(len(rows), (len(self.codes),))]
    mean = whole / len(self.codes)
    gone = self.count < dead * mean
    self.codes.copy_(torch.where(gone[:, None], fresh, self.total / smoothed[:, None]))
    self.total.copy_(torch.where(gone[:, None], fresh * mean, self.total))
    self.count.copy_(torch.where(gone, mean, self.count))

  def forward(self, x):
    """Reconstructs the images."""
    z = self.encoder(x)
    return self.decoder(self.quantised(z, self.tokens(z)[1]))


def loss(net, x, commitment=0.25):
  """Training loss of the VQ-VAE, absolute error and commitment; moves the codebook."""
  z = net.encoder(x)
  rows, tokens = net.tokens(z.detach())
  e = net.quantised(z, tokens)
  found = net.decoder(z + (e - z).detach())
  net.follow(rows, tokens)
  return F.l1_loss(found, x) + commitment * F.mse_loss(z, e)
