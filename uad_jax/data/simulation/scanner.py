"""What a scanner makes of anatomy: intensities, bias field, blur, noise."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from uad_jax.data.simulation.anatomy import Maps
from uad_jax.data.simulation.pathology import Part

INTENSITY = {
  # of csf, grey, white, oedema, necrosis, blood
  't1': (0.22, 0.60, 0.86, 0.56, 0.34, 1.02),
  't2': (1.00, 0.62, 0.42, 0.82, 0.90, 0.55),
  'flair': (0.16, 0.66, 0.52, 0.95, 0.40, 0.80),
}
DISEASED = {'oedema': 3, 'necrosis': 4, 'blood': 5}
DETAIL = {'t1': 0.055, 't2': -0.055, 'flair': 0.045}
"""Size of the template's detail in each contrast; fluid in sulci is bright on T2."""


class Domain(NamedTuple):
  """A scanner.

  Attributes:
    contrast: Which of `INTENSITY`.
    gamma: Exponent of the contrast curve.
    noise: Deviation of the Rician noise, of white matter's intensity.
    bias: Largest deviation of the bias field from 1.
    thickness: Of a slice, mm.
    blur: In-plane standard deviation, mm.
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


class Signal(NamedTuple):
  """What a scanner makes of anatomy, the same for a subject and its twin."""

  levels: np.ndarray  # of csf, grey, white, oedema, necrosis, blood
  detail: float


def signal(maps: Maps, made: Signal) -> np.ndarray:
  """Healthy intensities of what the template says."""
  level = maps.tissue @ np.float32(made.levels[:3])
  return level + np.float32(made.detail) * maps.detail


def with_lesion(image, parts: list[Part], made: Signal, texture) -> np.ndarray:
  """The image with each part's tissue blended in, in order."""
  for part in parts:
    if part.tissue == 'same':
      weight = part.share * (part.share > 0.05)
      level = (image * weight).sum() / max(float(weight.sum()), 1e-6)
      level = level + 0.35 * (image - level)
    else:
      level = made.levels[DISEASED[part.tissue]]
      level = part.amount * level + (1 - part.amount) * image
    level = level + abs(made.detail) * part.texture * texture
    image = image + part.share * (level - image)
  return image


def draw_signal(random, scanner: Domain) -> Signal:
  """The subject's tissue intensities: the contrast's, varied and bent."""
  levels = np.array(INTENSITY[scanner.contrast])
  levels[:3] *= 1 + 0.03 * random.standard_normal(3)
  detail = DETAIL[scanner.contrast] * random.uniform(0.8, 1.2)
  return Signal(levels**scanner.gamma, float(detail))


def bias_field(random, mm: np.ndarray, size: float) -> np.ndarray:
  """exp of a random polynomial of degree 2, with a largest deviation of `size`."""
  x, y, z = np.moveaxis(mm / np.float32(90), -1, 0)
  terms = np.stack([x, y, z, x * y, y * z, x * z, x * x, y * y, z * z], -1)
  weights = random.uniform(-1, 1, terms.shape[-1]).astype(np.float32)
  field = terms @ weights
  field = field - field.mean()
  return np.exp(field / np.abs(field).max() * np.log1p(size))


def scanned(image, bias, noise, scanner: Domain, spacing: float) -> np.ndarray:
  """Bias, in-plane blur and Rician noise."""
  image = image * bias
  if scanner.blur:
    sigma = scanner.blur / spacing
    image = ndimage.gaussian_filter(image, (sigma, sigma, 0))
  return np.sqrt((image + noise[0]) ** 2 + noise[1] ** 2)
