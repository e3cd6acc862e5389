"""Functions that generate random lesions, with soft borders, in simulated subjects.

A lesion is a level set in mm, positive inside and roughened by smooth noise; its volume
fraction at a point is sigmoid(level / edge). Each kind of lesion is a function with the
arguments of `Kind`, which returns the `Part`s of one subject's lesions.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from uad_jax.data.simulation.anatomy import Maps, field_grid, interpolate

EDGE_MM = 0.8
"""Default width in mm of a lesion's soft edge."""


class Part(NamedTuple):
  """Shape and appearance of one tissue, such as oedema, in a simulated lesion.

  Attributes:
    share: Volume fraction of the part at each point, [...] in [0, 1].
    tissue: 'oedema', 'necrosis', 'blood', or 'same', which keeps the mean intensity of
      the healthy tissue and changes its texture.
    amount: Weight of the part's intensity against the healthy one, in [0, 1].
    texture: Standard deviation of the part's texture, relative to the healthy one's.
  """

  share: np.ndarray
  tissue: str
  amount: float
  texture: float


class Candidates(NamedTuple):
  """Candidate points for the centres of lesions: brain voxels of a coarse grid.

  Attributes:
    mm: Coordinates of the points, [N, 3] in mm of the subject.
    white: Volume fraction of white matter, [N].
    grey: Volume fraction of grey matter, [N].
    depth: Distance to the ventricles, [N] in mm, negative inside them.
    surface: Distance to the brain's surface, [N] in mm.
  """

  mm: np.ndarray
  white: np.ndarray
  grey: np.ndarray
  depth: np.ndarray
  surface: np.ndarray


class Noise(NamedTuple):
  """Two smooth noise volumes on the field grid, which roughen the borders of lesions.

  Attributes:
    fine: Noise smoothed by a sigma of about 5 mm, [X, Y, Z], with standard deviation 1.
    coarse: Noise smoothed by a sigma of 12 mm, [X, Y, Z], with standard deviation 1.
  """

  fine: np.ndarray
  coarse: np.ndarray

  def __call__(self, mm: np.ndarray) -> np.ndarray:
    """Sum of both scales at points [..., 3] in mm, times 0.7."""
    _, affine = field_grid()
    fine, coarse = (interpolate(n, affine, mm) for n in (self.fine, self.coarse))
    return 0.7 * (fine + coarse)


def draw_noise(random: np.random.Generator) -> Noise:
  """Samples the noise that roughens the borders of one subject's lesions."""

  def smooth(sigma):
    noise = random.standard_normal(field_grid()[0], np.float32)
    noise = ndimage.gaussian_filter(noise, sigma, mode='wrap')
    return noise / noise.std()

  return Noise(smooth(1.2), smooth(3.0))


def soft(level_mm: np.ndarray, edge_mm: float = EDGE_MM) -> np.ndarray:
  """Computes the volume fraction of a lesion at each point from its level set.

  The fraction is sigmoid(level / edge).
  """
  return (1 / (1 + np.exp(np.clip(-level_mm / edge_mm, -30, 30)))).astype(np.float32)


def ellipsoid(mm, centre, radii, rotation) -> np.ndarray:
  """Computes the approximate depth of points below the surface of an ellipsoid.

  Args:
    mm: Points [..., 3] in mm.
    centre: Centre of the ellipsoid, [3] in mm.
    radii: Radii along its axes, [3] in mm.
    rotation: 3x3, its axes as columns.

  Returns:
    Level [...] in mm, positive inside.
  """
  offset = (mm - np.float32(centre)) @ np.float32(rotation)
  inside = 1 - np.linalg.norm(offset / np.float32(radii), axis=-1)
  return inside * np.float32(np.mean(radii))


def random_rotation(random: np.random.Generator) -> np.ndarray:
  """Samples a random orthogonal 3x3 matrix whose columns are axes of an ellipsoid."""
  return np.linalg.qr(random.standard_normal((3, 3)))[0]


def centres(random, weight: np.ndarray, mm: np.ndarray, count: int) -> np.ndarray:
  """Samples the centres of lesions from weighted candidate points.

  Each centre is moved by up to 1.5 mm along each axis.

  Args:
    random: Random generator.
    weight: Probability of each point up to a factor, [N].
    mm: The points, [N, 3] in mm.
    count: Number of centres.

  Returns:
    Centres [count, 3] in mm; a point may be sampled more than once.

  Raises:
    ValueError: All weights are 0.
  """
  total = weight.astype(np.float64)
  if total.sum() <= 0:
    raise ValueError('no place in the simulated brain can hold this lesion')
  chosen = random.choice(total.size, count, p=total / total.sum())
  return mm[chosen] + random.uniform(-1.5, 1.5, (count, 3))


def union(random, places, radii, stretch, noise: Noise, mm: np.ndarray) -> np.ndarray:
  """Computes the level set of a union of rough, randomly rotated ellipsoids.

  Args:
    random: Random generator.
    places: Centres, [N, 3] in mm.
    radii: Radius of each ellipsoid, [N] in mm.
    stretch: Factors [3] of the radius along the axes of an ellipsoid.
    noise: Noise that roughens the surfaces.
    mm: Points [..., 3] in mm.

  Returns:
    Level [...] in mm, positive inside.
  """
  roughness = noise(mm)
  level = np.full(mm.shape[:-1], -99.0, np.float32)
  for centre, radius in zip(places, radii, strict=True):
    shape = ellipsoid(mm, centre, radius * np.array(stretch), random_rotation(random))
    level = np.maximum(level, shape + 0.2 * min(radius, 6) * roughness)
  return level


def ms(random, candidates: Candidates, noise, mm, maps) -> list[Part]:
  """Generates 4 to 12 multiple sclerosis lesions in white matter near the ventricles.

  They are ellipsoids with rough surfaces. The arguments are those of `Kind`.
  """
  count = int(random.integers(4, 13))
  weight = candidates.white * (candidates.depth > 1) * (candidates.depth < 18)
  places = centres(random, weight, candidates.mm, count)
  level = union(
    random, places, random.uniform(2.2, 5.5, count), (1.3, 0.85, 0.85), noise, mm
  )
  return [Part(soft(level), 'oedema', float(random.uniform(0.5, 0.9)), 0.3)]


def wmh(random, candidates: Candidates, noise, mm, maps) -> list[Part]:
  """Generates white-matter hyperintensities of ageing, near the ventricles.

  They are a rim around the ventricles, wider towards the frontal and occipital horns,
  and spots. The arguments are those of `Kind`.
  """
  front, back = random.uniform(3, 7, 2)
  middle = np.median(candidates.mm[candidates.depth < 2][:, 1])
  along = mm[..., 1] - middle
  width = np.where(along > 0, front, back) * np.clip(np.abs(along) / 30, 0.1, 1.0)
  rim = width + 1.5 * noise(mm) - maps.depth
  rim = np.minimum(rim, maps.depth + 0.5)  # stays outside the ventricle
  weight = candidates.white * (candidates.depth > 5) * (candidates.depth < 22)
  count = int(random.integers(2, 7))
  places = centres(random, weight, candidates.mm, count)
  spots = union(random, places, random.uniform(1.8, 3.5, count), (1, 1, 1), noise, mm)
  white = np.clip(1.5 * maps.tissue[..., 2], 0, 1)
  share = soft(np.maximum(rim, spots), 1.2) * white
  return [Part(share, 'oedema', float(random.uniform(0.4, 0.7)), 0.4)]


def tumour(random, candidates: Candidates, noise, mm, maps) -> list[Part]:
  """Generates a tumour: a necrotic core surrounded by oedema.

  The mass effect is added by `simulate`. The arguments are those of `Kind`.
  """
  weight = (candidates.white + candidates.grey) * (candidates.surface > 12)
  (centre,) = centres(random, weight, candidates.mm, 1)
  radius = float(random.uniform(8, 15))
  rotation = random_rotation(random)
  core = ellipsoid(mm, centre, radius * np.array([1, 0.9, 0.8]), rotation)
  around = ellipsoid(mm, centre, radius * np.array([1.9, 1.6, 1.5]), rotation)
  roughness = noise(mm)
  return [
    Part(soft(around + 3 * roughness, 1.5), 'oedema', 0.6, 0.3),
    Part(soft(core + 1.5 * roughness), 'necrosis', 0.85, 0.8),
  ]


def stroke(random, candidates: Candidates, noise, mm, maps) -> list[Part]:
  """Generates a stroke lesion: a wedge from the cortex inwards.

  It is old (dark) or bleeding (bright). The arguments are those of `Kind`.
  """
  weight = (
    candidates.grey * (candidates.surface < 8) * (np.abs(candidates.mm[:, 0]) > 18)
  )
  (outer,) = centres(random, weight, candidates.mm, 1)
  tip = outer * np.float32([random.uniform(0.15, 0.5), 0.6, 0.6])
  axis = (outer - tip) / np.linalg.norm(outer - tip)
  offset = mm - np.float32(tip)
  height = offset @ np.float32(axis)
  away = np.linalg.norm(offset - height[..., None] * np.float32(axis), axis=-1)
  opening = float(random.uniform(0.3, 0.6))
  level = np.minimum(height * opening - away, height - 3) + 2 * noise(mm)
  level = np.minimum(level, maps.depth - 1)  # stays outside the ventricles
  tissue = 'blood' if random.random() < 0.4 else 'necrosis'
  return [Part(soft(level, 1.2), tissue, float(random.uniform(0.4, 0.8)), 0.6)]


def iso(random, candidates: Candidates, noise, mm, maps) -> list[Part]:
  """Generates 1 to 3 isointense lesions: ellipsoids in which only the texture differs.

  Their mean intensity is that of healthy tissue. The arguments are those of `Kind`.
  """
  count = int(random.integers(1, 4))
  weight = (
    (candidates.white + candidates.grey)
    * (candidates.surface > 5)
    * (candidates.depth > 4)
  )
  places = centres(random, weight, candidates.mm, count)
  level = union(random, places, random.uniform(5, 10, count), (1, 0.8, 0.8), noise, mm)
  return [Part(soft(level), 'same', 1.0, float(random.uniform(0.8, 1.6)))]


Kind = Callable[[np.random.Generator, Candidates, Noise, np.ndarray, Maps], list[Part]]
"""Kind of lesion: (random, candidates, noise, mm, maps) to the parts of the lesions.

`mm` are the points [..., 3] of the subject that are imaged, `maps` the template's
tissue maps at these points.
"""

KINDS: dict[str, Kind] = {
  kind.__name__: kind for kind in (ms, wmh, tumour, stroke, iso)
}
"""The kinds of lesions by name."""
