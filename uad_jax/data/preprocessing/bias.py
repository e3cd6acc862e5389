"""Smooth intensity inhomogeneity of a T1 brain, estimated with its tissue classes."""

import numpy as np
from scipy import ndimage

from uad_jax.data.preprocessing import grid

COARSE = 4.0
"""Resolution in mm at which the field is estimated."""


def estimate(
  image: np.ndarray,
  mask: np.ndarray,
  affine: np.ndarray,
  smooth: float = 30.0,
  rounds: int = 15,
) -> np.ndarray:
  """The multiplicative field [X, Y, Z], of mean log 0 over the brain.

  Expectation maximisation after Wells et al. (IEEE TMI 1996): log intensities are a
  mixture of fluid, grey and white normal densities plus a smooth field. Given the
  posteriors p_k, the field is the residual log I - mu_k, weighted by
  W = sum_k p_k / sigma_k^2 and low-pass filtered: b = G * (W r) / (G * W).

  Args:
    image: [X, Y, Z], white matter brighter than grey.
    mask: Brain.
    affine: Voxel to mm.
    smooth: FWHM of the low-pass filter G in mm; short ones remove anatomy.
    rounds: Of the expectation maximisation.
  """
  shape, coarse = grid.respaced(image.shape, affine, (COARSE,) * 3)
  to_fine = np.linalg.inv(affine) @ coarse
  weight = grid.sample(mask.astype(np.float32), to_fine, shape, antialias=True)
  value = grid.sample(np.where(mask, image, 0), to_fine, shape, antialias=True)
  inside = weight > 0.9
  values = value[inside] / weight[inside]
  floor = 0.05 * np.percentile(values, 95)
  values = np.log(np.maximum(values, floor))
  sigma = smooth / COARSE / grid.FWHM

  def low_pass(numbers):
    volume = np.zeros(shape)
    volume[inside] = numbers
    return ndimage.gaussian_filter(volume, sigma, mode='constant', truncate=6)

  field = np.zeros_like(values)
  mean = np.quantile(values, (0.05, 0.4, 0.85))
  deviation = np.array([0.4, 0.15, 0.15])
  share = np.array([0.15, 0.45, 0.4])
  for _ in range(rounds):
    flat = (values - field)[:, None]
    joint = share / deviation * np.exp(-0.5 * ((flat - mean) / deviation) ** 2) + 1e-12
    posterior = joint / joint.sum(1, keepdims=True)
    total = posterior.sum(0)
    share, mean = total / total.sum(), (posterior * flat).sum(0) / total
    spread = (posterior * (flat - mean) ** 2).sum(0) / total
    deviation = np.sqrt(np.maximum(spread, 0.03**2))
    precision = posterior / deviation**2
    weight = precision.sum(1)
    residual = (precision * (values[:, None] - mean)).sum(1) / weight
    top, bottom = low_pass(weight * residual), low_pass(weight)
    whole = top / np.maximum(bottom, 1e-6 * bottom.max())
    field = whole[inside] - whole[inside].mean()
  whole = whole - whole[inside].mean()
  back = np.linalg.inv(to_fine)
  bounds = np.percentile(field, (0, 100))
  fine = ndimage.affine_transform(
    whole, back[:3, :3], back[:3, 3], image.shape, order=1, mode='nearest'
  )
  return np.exp(np.clip(fine, *bounds)).astype(np.float32)
