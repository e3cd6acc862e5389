"""Images of blobs, and smooth displacements that warp them."""

import jax
import jax.numpy as jnp
import numpy as np


def blobs(shape, seed=0, count=6, width=0.15):
  """A smooth image [1, *S, 1] with values of about 1."""
  rng = np.random.default_rng(seed)
  points = np.stack(
    np.meshgrid(*[np.linspace(0, 1, n) for n in shape], indexing='ij'), -1
  )
  centres = rng.uniform(0.2, 0.8, (count, len(shape)))
  square = ((points[..., None, :] - centres) ** 2).sum(-1)
  image = (rng.uniform(0.5, 1.5, count) * np.exp(-square / (2 * width**2))).sum(-1)
  return jnp.asarray(image, jnp.float32)[None, ..., None]


def smooth_field(shape, size, seed=1):
  """A displacement [1, *S, d] of at most `size` voxels, 0 at the border."""
  rng = np.random.default_rng(seed)
  coarse = rng.uniform(-1, 1, (1, *[4] * len(shape), len(shape)))
  coarse = np.pad(coarse, [(0, 0), *[(1, 1)] * len(shape), (0, 0)])
  field = jax.image.resize(jnp.asarray(coarse), (1, *shape, len(shape)), 'cubic')
  return (size * field / jnp.abs(field).max()).astype(jnp.float32)
