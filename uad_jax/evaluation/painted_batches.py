"""Function that inserts synthetic lesions into batches of healthy scans."""

import functools
from collections.abc import Iterable, Iterator, Mapping

import jax
import numpy as np

from uad_jax import parallel
from uad_jax.augmentation import synthetic_lesions
from uad_jax.augmentation.painters import TRAINING
from uad_jax.data.mixing import PAINTED

PAINTERS = (*TRAINING, 'swirl', 'mass_effect')
"""Painters of the lesions that choose the default anomaly map."""


def painted(
  batches: Iterable[Mapping[str, np.ndarray]], polarity: str
) -> Iterator[dict[str, np.ndarray]]:
  """Yields batches of healthy scans with synthetic lesions inserted.

  The lesions are of the kinds in `PAINTERS`. The random key is fixed, so each call
  draws the same lesions. A voxel belongs to the lesion mask if the soft lesion shape is
  above 0.5 there.

  Args:
    batches: Batches of healthy scans.
    polarity: 'bright', 'dark' or 'both', see `synthetic_lesions.one_sided`.
  """
  key = jax.random.key(0)
  paint = parallel.jit(
    functools.partial(synthetic_lesions.paint, painters=PAINTERS, polarity=polarity)
  )
  for index, batch in enumerate(batches):
    image, shape = paint(jax.random.fold_in(key, index), batch['image'], batch['mask'])
    lesion = (np.asarray(shape) > 0.5).astype(np.float32) * batch['mask']
    pathology = np.full(len(lesion), PAINTED)
    yield {
      **batch,
      'image': np.asarray(image),
      'lesion': lesion,
      'pathology': pathology,
    }
