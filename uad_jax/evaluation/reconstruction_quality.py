"""Functions that measure whether reconstructions keep healthy brain but not lesions.

Symbols: x image, t lesion-free twin (the same scan without its lesion), r(x) and r(t)
their reconstructions, L lesion, H brain without the lesion and its surroundings.

  lesion_copied   sum_L (r(x) - r(t)) (x - t) / sum_L (x - t)^2: 0 does not follow the
                  lesion, 1 copies it; blur and bias, which are in both
                  reconstructions, do not count
  healthy_error   mean_H |x - r(x)|, in intensities: a lesion of less contrast than this
                  is hidden

A residual shows a lesion if both are small: a method that copies its input has a large
`lesion_copied`, a blurred reconstruction has a large `healthy_error`.
"""

from collections.abc import Mapping

import numpy as np

from uad_jax.evaluation.registration_quality import fraction, mean_in, regions


def measure(volume: Mapping[str, np.ndarray], planar: bool) -> dict[str, float]:
  """Computes two errors of a scan's reconstruction: in healthy brain and in lesions.

  These are 'healthy_error' and 'lesion_copied' of the module docstring. A metric whose
  arrays are missing is left out.

  Args:
    volume: Arrays [X, Y, Z, C] of the scan: 'image' and 'mask'; if known, 'lesion' and
      'twin'; if the method has it, 'reconstruction' and, for a scan with a twin,
      'twin_reconstruction'. All channels are compared.
    planar: Whether the scan is a stack of slices.
  """
  if 'reconstruction' not in volume:
    return {}
  _, lesion, _, healthy = regions(volume, planar)
  image, reconstruction = (
    np.float64(volume[name]) for name in ('image', 'reconstruction')
  )
  metrics = {'healthy_error': mean_in(np.abs(image - reconstruction), healthy)}
  if 'twin' in volume and lesion.any():
    contrast = image[lesion] - np.float64(volume['twin'])[lesion]
    twin_reconstruction = np.float64(volume['twin_reconstruction'])
    followed = reconstruction[lesion] - twin_reconstruction[lesion]
    copied = np.sum(followed * contrast)
    metrics['lesion_copied'] = fraction(copied, np.sum(contrast**2))
  return metrics
