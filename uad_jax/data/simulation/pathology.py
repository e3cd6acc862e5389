"""Simulated lesions: soft shapes in a subject's own space, made of diseased tissue.

A lesion is a level set in mm, positive inside and roughened by smooth noise; its share
of a point is sigmoid(level / edge). Each kind is a function of (random, candidates,
noise, mm, maps) that returns `Part`s: `mm` are the points [..., 3] to be imaged, `maps`
what the template says of them.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from uad_jax.data.simulation.anatomy import Maps, at, field_grid

EDGE_MM = 0.8


class Part(NamedTuple):
  """A part of a lesion.

  Attributes:
    share: [...] of each point, in [0, 1].
    tissue: What takes the place: 'oedema', 'necrosis', 'blood', or 'same', which keeps
      the local mean and changes the texture.
    amount: How much of the healthy tissue it replaces, in [0, 1].
    texture: Deviation of the part's own texture, in units of the image's.
  """

  share: np.ndarray
  tissue: str
  amount: float
  texture: float


class Candidates(NamedTuple):
  """Points of the subject, on a coarse grid, where lesions may start.

  Attributes:
    mm: [N, 3].
    white: Share of white matter.
    grey: Share of grey matter.
    depth: Distance to the ventricles, mm.
    surface: Distance to the brain's surface, mm.
  """

  mm: np.ndarray
  white: np.ndarray
  grey: np.ndarray
  depth: np.ndarray
  surface: np.ndarray


class Noise(NamedTuple):
  """Smooth noise of unit deviation on the field grid, at about 5 and 12 mm."""

  fine: np.ndarray
  coarse: np.ndarray

  def __call__(self, mm: np.ndarray) -> np.ndarray:
    """Both scales together, at points."""
    _, affine = field_grid()
    return 0.7 * (at(self.fine, affine, mm) + at(self.coarse, affine, mm))


def draw_noise(random: np.random.Generator) -> Noise:
  """Noise to roughen the borders of one subject's lesions."""

  def smooth(sigma):
    noise = random.standard_normal(field_grid()[0], np.float32)
    noise = ndimage.gaussian_filter(noise, sigma, mode='wrap')
    return noise / noise.std()

  return Noise(smooth(1.2), smooth(3.0))


def soft(level_mm: np.ndarray, edge_mm: float = EDGE_MM) -> np.ndarray:
  """sigmoid(level / edge)."""
  return (1 / (1 + np.exp(np.clip(-level_mm / edge_mm, -30, 30)))).astype(np.float32)


def ellipsoid(mm, centre, radii, turn) -> np.ndarray:
  """Level set of an ellipsoid: about the distance to its surface, inwards, in mm."""
  offset = (mm - np.float32(centre)) @ np.float32(turn)
  inside = 1 - np.linalg.norm(offset / np.float32(radii), axis=-1)
  return inside * np.float32(np.mean(radii))


def random_turn(random: np.random.Generator) -> np.ndarray:
  """A random rotation, 3x3."""
  return np.linalg.qr(random.standard_normal((3, 3)))[0]


def centres(random, weight: np.ndarray, mm: np.ndarray, count: int) -> np.ndarray:
  """Candidates drawn with probability ~ weight, moved by up to 1.5 mm; [count, 3]."""
  total = weight.astype(np.float64)
  if total.sum() <= 0:
    raise ValueError('no place in the simulated brain can hold this lesion')
  chosen = random.choice(total.size, count, p=total / total.sum())
  return mm[chosen] + random.uniform(-1.5, 1.5, (count, 3))


def union(random, places, radii, stretch, noise: Noise, mm: np.ndarray) -> np.ndarray:
  """Level set of several rough ellipsoids."""
  roughness = noise(mm)
  level = np.full(mm.shape[:-1], -99.0, np.float32)
  for centre, radius in zip(places, radii, strict=True):
    shape = ellipsoid(mm, centre, radius * np.array(stretch), random_turn(random))
    level = np.maximum(level, shape + 0.2 * min(radius, 6) * roughness)
  return level


def ms(random, found: Candidates, noise, mm, maps) -> list[Part]:
  """Multiple sclerosis: 4 to 12 ovoid lesions in white matter near the ventricles."""
  count = int(random.integers(4, 13))
  weight = found.white * (found.depth > 1) * (found.depth < 18)
  places = centres(random, weight, found.mm, count)
  level = union(
    random, places, random.uniform(2.2, 5.5, count), (1.3, 0.85, 0.85), noise, mm
  )
  return [Part(soft(level), 'oedema', float(random.uniform(0.5, 0.9)), 0.3)]


def wmh(random, found: Candidates, noise, mm, maps) -> list[Part]:
  """White-matter hyperintensities of ageing: caps on the horns, confluent, and spots.

  A rim about the ventricles, in white matter only, whose width grows towards the
  frontal and occipital horns.
  """
  front, back = random.uniform(3, 7, 2)
  middle = np.median(found.mm[found.depth < 2][:, 1])
  along = mm[..., 1] - middle
  width = np.where(along > 0, front, back) * np.clip(np.abs(along) / 30, 0.1, 1.0)
  rim = width + 1.5 * noise(mm) - maps.depth
  rim = np.minimum(rim, maps.depth + 0.5)  # not into the ventricle itself
  weight = found.white * (found.depth > 5) * (found.depth < 22)
  count = int(random.integers(2, 7))
  places = centres(random, weight, found.mm, count)
  spots = union(random, places, random.uniform(1.8, 3.5, count), (1, 1, 1), noise, mm)
  white = np.clip(1.5 * maps.tissue[..., 2], 0, 1)
  share = soft(np.maximum(rim, spots), 1.2) * white
  return [Part(share, 'oedema', float(random.uniform(0.4, 0.7)), 0.4)]


def tumour(random, found: Candidates, noise, mm, maps) -> list[Part]:
  """A necrotic core inside oedema; the mass effect is `simulate`'s."""
  weight = (found.white + found.grey) * (found.surface > 12)
  (centre,) = centres(random, weight, found.mm, 1)
  radius = float(random.uniform(8, 15))
  turn = random_turn(random)
  core = ellipsoid(mm, centre, radius * np.array([1, 0.9, 0.8]), turn)
  around = ellipsoid(mm, centre, radius * np.array([1.9, 1.6, 1.5]), turn)
  roughness = noise(mm)
  return [
    Part(soft(around + 3 * roughness, 1.5), 'oedema', 0.6, 0.3),
    Part(soft(core + 1.5 * roughness), 'necrosis', 0.85, 0.8),
  ]


def stroke(random, found: Candidates, noise, mm, maps) -> list[Part]:
  """A territory: a wedge from the cortex inwards; old (dark) or bleeding (bright)."""
  weight = found.grey * (found.surface < 8) * (np.abs(found.mm[:, 0]) > 18)
  (outer,) = centres(random, weight, found.mm, 1)
  tip = outer * np.float32([random.uniform(0.15, 0.5), 0.6, 0.6])
  axis = (outer - tip) / np.linalg.norm(outer - tip)
  offset = mm - np.float32(tip)
  height = offset @ np.float32(axis)
  away = np.linalg.norm(offset - height[..., None] * np.float32(axis), axis=-1)
  opening = float(random.uniform(0.3, 0.6))
  level = np.minimum(height * opening - away, height - 3) + 2 * noise(mm)
  level = np.minimum(level, maps.depth - 1)  # ventricles are no tissue
  tissue = 'blood' if random.random() < 0.4 else 'necrosis'
  return [Part(soft(level, 1.2), tissue, float(random.uniform(0.4, 0.8)), 0.6)]


def iso(random, found: Candidates, noise, mm, maps) -> list[Part]:
  """One to three rough ellipsoids whose mean intensity stays and texture changes."""
  count = int(random.integers(1, 4))
  weight = (found.white + found.grey) * (found.surface > 5) * (found.depth > 4)
  places = centres(random, weight, found.mm, count)
  level = union(random, places, random.uniform(5, 10, count), (1, 0.8, 0.8), noise, mm)
  return [Part(soft(level), 'same', 1.0, float(random.uniform(0.8, 1.6)))]


Kind = Callable[[np.random.Generator, Candidates, Noise, np.ndarray, Maps], list[Part]]

KINDS: dict[str, Kind] = {
  kind.__name__: kind for kind in (ms, wmh, tumour, stroke, iso)
}
