"""Functions that change the intensities of a healthy scan inside a lesion mask."""

from typing import Any

import numpy as np
from scipy import ndimage

from uad_jax.data.cohorts.lesions import Head
from uad_jax.data.preprocessing import grid, intensity
from uad_jax.ops.choices import check_choice

KINDS = ('dark', 'bright', 'iso')
"""Kinds of lesions: hypointense, hyperintense, and isointense with another texture."""

FACTORS = {'dark': (0.5, 0.8), 'bright': (1.2, 1.5)}
"""Range of the factor on the intensity, by kind of lesion."""

EDGE = 1.5
"""Standard deviation in mm of the Gaussian that makes the edge of a lesion soft."""

TEXTURE = 0.12
"""Standard deviation of an iso lesion's texture, relative to the local mean."""

MIXED, RIM = (0.35, 0.8), 4.0
"""Range of the share of the other substance in a lesion's core; width of the rim in mm
over which it rises, see `mix_fluid`."""


def paint(
  head: Head, lesion: np.ndarray, kind: str, random: np.random.Generator
) -> tuple[np.ndarray, dict[str, Any]]:
  """Inserts a lesion into a scan by changing the intensities inside a lesion mask.

  'dark' and 'bright': I' = I (1 + w (f - 1)), with w the lesion mask with a soft edge,
  restricted to the tissue, and f drawn uniformly from `FACTORS`. 'iso': the local mean
  with a random texture (Gaussian noise smoothed to 3 mm FWHM) replaces the anatomical
  detail; the mean intensity over the lesion is unchanged.

  Args:
    head: The healthy scan.
    lesion: Lesion mask, [X, Y, Z] bool.
    kind: One of `KINDS`: 'dark', 'bright' or 'iso' (isointense).
    random: Random number generator.

  Returns:
    Scan with the lesion, [X, Y, Z]; and the strength of the change: {'factor': f} or
    {'texture': TEXTURE}.

  Raises:
    ValueError: The kind is unknown.
  """
  check_choice('lesion kind', kind, KINDS)
  step = grid.spacing(head.affine)
  weight = ndimage.gaussian_filter(lesion.astype(np.float32), EDGE / step) * head.tissue
  image = head.image
  if kind != 'iso':
    factor = random.uniform(*FACTORS[kind])
    return image * (1 + weight * (factor - 1)), {'factor': round(float(factor), 4)}

  inside = head.tissue.astype(np.float32)
  mean = ndimage.gaussian_filter(image * inside, 4 / step)
  mean /= np.maximum(ndimage.gaussian_filter(inside, 4 / step), 1e-3)
  grain = random.standard_normal(image.shape, dtype=np.float32)
  grain = ndimage.gaussian_filter(grain, 3 / grid.FWHM / step)
  replacement = mean * (1 + TEXTURE * grain / grain.std())
  change = weight * (replacement - image)
  # The correction of the mean has the soft weight too, so that it makes no edge.
  change -= weight * change[lesion].sum() / weight[lesion].sum()
  return image + change, {'texture': TEXTURE}


def mix_fluid(
  head: Head, lesion: np.ndarray, kind: str, random: np.random.Generator
) -> tuple[np.ndarray, dict[str, Any]]:
  """Inserts a lesion as a mixture of tissue and another substance, densest in its core.

  I' = (1 - w) I + w T, w = f min(depth / `RIM`, 1), depth the distance in mm to the
  border of the lesion; f is drawn from `MIXED`. With the grey and white peaks g and h
  of a T1 brain (`intensity.tissue_peaks`), T is g - 2 (h - g), about that of fluid, and
  at least 0 ('dark'), or h + (h - g), above white matter ('bright'), so that lesions
  have one contrast on all scanners. 'iso' takes T = the mean intensity in 10 mm around
  a voxel, which removes the anatomical detail. Contrast and mean change together and
  unevenly, as no painter of `augmentation.painters` changes them.

  Args:
    head: The healthy scan.
    lesion: Lesion mask, [X, Y, Z] bool.
    kind: One of `KINDS`.
    random: Random number generator.

  Returns:
    Scan with the lesion, [X, Y, Z]; and the strength of the change: {'mixed': f}.

  Raises:
    ValueError: The kind is unknown.
  """
  check_choice('lesion kind', kind, KINDS)
  step = grid.spacing(head.affine)
  depth = ndimage.distance_transform_edt(lesion, step)
  share = random.uniform(*MIXED)
  weight = (share * np.minimum(depth / RIM, 1) * head.tissue).astype(np.float32)
  if kind == 'iso':
    inside = head.brain.astype(np.float32)
    other = ndimage.gaussian_filter(head.image * inside, 5 / step)
    other /= np.maximum(ndimage.gaussian_filter(inside, 5 / step), 1e-3)
  else:
    other = substance(head, kind)
  return head.image + weight * (other - head.image), {'mixed': round(float(share), 4)}


def substance(head: Head, kind: str) -> float:
  """Computes the intensity of the substance that `mix_fluid` mixes into tissue.

  Args:
    head: The healthy T1 scan.
    kind: 'dark' or 'bright'.
  """
  brain = head.image[head.brain].astype(np.float64)
  grey, white = intensity.tissue_peaks(brain)
  if kind == 'bright':
    return white + (white - grey)
  return max(grey - 2 * (white - grey), 0.0)


MECHANISMS = {'factor': paint, 'mixture': mix_fluid}
"""Ways to change the intensities inside a lesion mask, by name."""
