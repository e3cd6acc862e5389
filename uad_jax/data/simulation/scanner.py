"""Functions that simulate a scanner: tissue contrast, bias field, blur and noise."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from uad_jax.data.simulation.anatomy import Maps
from uad_jax.data.simulation.pathology import Part

INTENSITY = {
  't1': (0.22, 0.60, 0.86, 0.56, 0.34, 1.02),
  't2': (1.00, 0.62, 0.42, 0.82, 0.90, 0.55),
  'flair': (0.16, 0.66, 0.52, 0.95, 0.40, 0.80),
}
"""Intensities by contrast: CSF, grey matter, white matter, oedema, necrosis, blood."""

DISEASED = {'oedema': 3, 'necrosis': 4, 'blood': 5}
"""Index of each diseased tissue in the intensities of a contrast."""

DETAIL = {'t1': 0.055, 't2': -0.055, 'flair': 0.045}
"""Standard deviation of the texture (`Maps.detail`) by contrast.

It is negative in T2, where CSF in the sulci is bright.
"""


class Domain(NamedTuple):
  """Settings of a simulated scanner: contrast, noise, bias field, blur.

  Attributes:
    contrast: Key of `INTENSITY`.
    gamma: Exponent that is applied to the tissue intensities.
    noise: Standard deviation of the Rician noise, in the units of `INTENSITY`.
    bias: Largest deviation of the bias field from 1.
    thickness: Thickness of a slice in mm.
    blur: Sigma of the in-plane blur in mm.
  """

  contrast: str = 't1'
  gamma: float = 1.0
  noise: float = 0.02
  bias: float = 0.12
  thickness: float = 3.0
  blur: float = 0.0


DOMAINS = {
  'a': Domain(),
  'b': Domain(gamma=1.5, noise=0.05, bias=0.35),
  'c': Domain(noise=0.025, thickness=7.0, blur=1.8),
  'd': Domain(contrast='flair', noise=0.03),
}
"""The domains by name: 'a' is the source domain, the others are shifted from it."""


class Contrast(NamedTuple):
  """Tissue intensities of one subject, shared by the image and its lesion-free twin.

  Attributes:
    levels: Intensities of CSF, grey and white matter, oedema, necrosis and blood, [6].
    detail: Standard deviation of the texture; may be negative, see `DETAIL`.
  """

  levels: np.ndarray
  detail: float


def signal(maps: Maps, contrast: Contrast) -> np.ndarray:
  """Computes the image intensities of healthy tissue from tissue maps.

  They are the mean intensities of the tissues plus texture.
  """
  level = maps.tissue @ np.float32(contrast.levels[:3])
  return level + np.float32(contrast.detail) * maps.detail


def with_lesion(image, parts: list[Part], contrast: Contrast, texture) -> np.ndarray:
  """Adds a lesion to an image by blending in the intensities of the lesion's tissues.

  The parts of the lesion are blended in one after another.

  Args:
    image: Intensities [...] at the imaged points.
    parts: Parts of the lesion, with volume fractions [...].
    contrast: Tissue intensities of the subject.
    texture: Noise with standard deviation 1 that broadcasts to `image`.

  Returns:
    Intensities [...] with the lesion.
  """
  for part in parts:
    if part.tissue == 'same':
      weight = part.share * (part.share > 0.05)
      level = (image * weight).sum() / max(float(weight.sum()), 1e-6)
      level = level + 0.35 * (image - level)
    else:
      level = contrast.levels[DISEASED[part.tissue]]
      level = part.amount * level + (1 - part.amount) * image
    level = level + abs(contrast.detail) * part.texture * texture
    image = image + part.share * (level - image)
  return image


def draw_contrast(random, scanner: Domain) -> Contrast:
  """Samples the tissue intensities that one subject has in the images of a scanner.

  The healthy tissues of `INTENSITY` vary by a factor with standard deviation 0.03, the
  texture by up to 20 %; then the scanner's gamma is applied to the tissues.
  """
  levels = np.array(INTENSITY[scanner.contrast])
  levels[:3] *= 1 + 0.03 * random.standard_normal(3)
  detail = DETAIL[scanner.contrast] * random.uniform(0.8, 1.2)
  return Contrast(levels**scanner.gamma, float(detail))


def bias_field(random, mm: np.ndarray, size: float) -> np.ndarray:
  """Samples a random bias field and evaluates it at points.

  It is the exponential of a quadratic polynomial in x, y and z.

  Args:
    random: Random generator.
    mm: Points [..., 3] in mm.
    size: Largest deviation from 1: the field lies in [1 / (1 + size), 1 + size].

  Returns:
    Multiplicative field [...].
  """
  x, y, z = np.moveaxis(mm / np.float32(90), -1, 0)
  terms = np.stack([x, y, z, x * y, y * z, x * z, x * x, y * y, z * z], -1)
  weights = random.uniform(-1, 1, terms.shape[-1]).astype(np.float32)
  field = terms @ weights
  field = field - field.mean()
  return np.exp(field / np.abs(field).max() * np.log1p(size))


def scanned(image, bias, noise, scanner: Domain, spacing: float) -> np.ndarray:
  """Simulates the scan of a volume: applies bias field, in-plane blur and Rician noise.

  Args:
    image: Intensities [X, Y, slices].
    bias: Bias field [X, Y, slices].
    noise: Normal noise of the real and the imaginary part, [2, X, Y, slices].
    scanner: The scanner, for its blur.
    spacing: In-plane voxel size in mm.
  """
  image = image * bias
  if scanner.blur:
    sigma = scanner.blur / spacing
    image = ndimage.gaussian_filter(image, (sigma, sigma, 0))
  return np.sqrt((image + noise[0]) ** 2 + noise[1] ** 2)
