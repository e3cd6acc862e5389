"""Synthetic brains: ellipsoids of fluid, grey and white matter with structure."""

import numpy as np
from scipy import ndimage

SHAPE = (32, 36, 24)


def brain(seed, shape=SHAPE):
  """Arrays of one brain; subjects differ by shape, structure, contrast and noise."""
  rng = np.random.default_rng(seed)
  axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing='ij')
  axes = [*axes[:2], axes[2] + 0.1 * axes[1] ** 2]  # hollow below, as a brain is
  tilt = 0.05 * rng.normal(size=3)
  scaled = [
    x / (0.88 + 0.02 * rng.normal()) * (1 + k * x)
    for x, k in zip(axes, tilt, strict=True)
  ]
  radius = np.sqrt(sum(x**2 for x in scaled))
  structure = ndimage.gaussian_filter(rng.normal(size=shape), 1.2 + 0.1 * rng.normal())
  structure *= 0.15 / structure.std()
  image = np.where(radius < 0.3, 0.25, 0.6 + 0.2 * (radius < 0.75)) + structure
  image = image * (1 + 0.02 * rng.normal()) + 0.02 * rng.normal()
  image += 0.03 * np.exp(0.15 * rng.normal()) * rng.normal(size=shape)
  mask = (radius < 1)[..., None]
  return {
    'image': np.where(mask, image[..., None], 0).astype(np.float32),
    'mask': mask.astype(np.float32),
  }


def with_lesion(arrays, share=0.02, brighter=0.7):
  """The brain with a bright ball off its centre, of a share of its voxels."""
  inside = arrays['mask'][..., 0] > 0
  places = np.stack(np.meshgrid(*map(np.arange, inside.shape), indexing='ij'), -1)
  centre = np.array(inside.shape) * (0.35, 0.4, 0.55)
  distance = np.where(inside, np.linalg.norm(places - centre, axis=-1), np.inf)
  count = round(share * inside.sum())
  lesion = distance <= np.sort(distance.ravel())[count - 1]
  image = arrays['image'] + np.float32(brighter) * lesion[..., None]
  return {**arrays, 'image': image, 'lesion': lesion[..., None].astype(np.float32)}
