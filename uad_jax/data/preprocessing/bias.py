"""Function that estimates the bias field of a T1 brain."""

import numpy as np
from scipy import ndimage

from uad_jax.data.preprocessing import grid
from uad_jax.data.preprocessing.bad_scan import BadScan
from uad_jax.data.preprocessing.brain_sampling import sample_brain

COARSE = 4.0
"""Resolution in mm at which the field is estimated."""


def estimate(
  image: np.ndarray,
  mask: np.ndarray,
  affine: np.ndarray,
  smooth: float = 30.0,
  rounds: int = 15,
  name: str = 'the scan',
) -> np.ndarray:
  """Estimates the multiplicative bias field of a T1 scan of a brain.

  Expectation maximisation after Wells et al. (IEEE TMI 1996): log intensities are a
  smooth field b plus a mixture of three normal densities (fluid, grey and white
  matter). With the posteriors p_k, the mean residual
  r = sum_k p_k (log I - mu_k) / sigma_k^2 / W, where W = sum_k p_k / sigma_k^2, is
  smoothed by a Gaussian G: b = G * (W r) / (G * W). The field is exp(b), b having mean
  0 over the brain; it is estimated at `COARSE` mm and interpolated.

  Args:
    image: T1 scan [X, Y, Z], white matter brighter than grey.
    mask: Brain mask [X, Y, Z], bool.
    affine: 4x4 from voxel to mm.
    smooth: FWHM of the filter G in mm; a narrow one removes anatomy too.
    rounds: Number of iterations.
    name: Name of the scan, for messages.

  Returns:
    Bias field [X, Y, Z], float32.

  Raises:
    BadScan: The mask has no part that is as large as a voxel of `COARSE` mm.
  """
  shape, coarse = grid.respaced(image.shape, affine, (COARSE,) * 3)
  to_fine = np.linalg.inv(affine) @ coarse
  solid = mask.any()
  if solid:
    weight = sample_brain(mask.astype(np.float32), mask, to_fine, shape)
    value = sample_brain(np.where(mask, image, 0), mask, to_fine, shape)
    inside = weight > 0.9
    solid = inside.any()
  if not solid:
    raise BadScan(
      f'{name} has a brain mask without any solid part of {COARSE:g} mm, so that no '
      'bias field can be estimated; allowed is a brain mask'
    )
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
    numerator, denominator = low_pass(weight * residual), low_pass(weight)
    volume = numerator / np.maximum(denominator, 1e-6 * denominator.max())
    field = volume[inside] - volume[inside].mean()
  volume = volume - volume[inside].mean()
  to_coarse = np.linalg.inv(to_fine)
  bounds = np.percentile(field, (0, 100))
  fine = ndimage.affine_transform(
    volume, to_coarse[:3, :3], to_coarse[:3, 3], image.shape, order=1, mode='nearest'
  )
  np.clip(fine, *bounds, out=fine)
  return np.exp(fine, out=fine).astype(np.float32)
