"""Is the reconstruction the scan without its lesion? On one scan.

Symbols: x image, t the same scan without its lesion (its twin), r(x) and r(t) their
reconstructions, L lesion, H brain without the lesion and its surroundings.

  lesion_copied   sum_L (r(x) - r(t)) (x - t) / sum_L (x - t)^2: 0 does not follow the
                  lesion, 1 copies it; blur and bias, which both have, do not count
  healthy_error   mean_H |x - r|, in intensities: what hides a lesion whose contrast is
                  not larger

A residual shows a lesion when both are small: a copier has the first large, a blurred
reconstruction the second.
"""

from collections.abc import Mapping

import numpy as np

from uad_jax.evaluation.registration_quality import fraction, mean_in, regions


def measure(volume: Mapping[str, np.ndarray], planar: bool) -> dict[str, float]:
  """Both, as far as the scan's arrays allow.

  Args:
    volume: 'image' [X, Y, Z, C] and 'mask'; where known 'lesion' and 'twin'; where the
      method gives it 'reconstruction', with a twin also 'twin_reconstruction'. All
      channels are looked at.
    planar: Whether the scan is a stack of slices.
  """
  if 'reconstruction' not in volume:
    return {}
  _, lesion, _, healthy = regions(volume, planar)
  image, found = (np.float64(volume[name]) for name in ('image', 'reconstruction'))
  measured = {'healthy_error': mean_in(np.abs(image - found), healthy)}
  if 'twin' in volume and lesion.any():
    contrast = image[lesion] - np.float64(volume['twin'])[lesion]
    followed = found[lesion] - np.float64(volume['twin_reconstruction'])[lesion]
    copied = np.sum(followed * contrast)
    measured['lesion_copied'] = fraction(copied, np.sum(contrast**2))
  return measured
