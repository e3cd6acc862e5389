"""A made-up cohort that can be counted, and a method that needs no training."""

import jax.numpy as jnp
import numpy as np

from uad_jax import evaluate as evaluation
from uad_jax.data.preprocessing.tissue_classes import VENTRICLE
from uad_jax.method import Method

SIZE, SLICES, BATCH = 16, 4, 6


def record(subject, k, rng, pathology, brightness=0.0):
  mask = np.zeros((SIZE, SIZE, 1), np.float32)
  mask[2:14, 2:14] = 1
  labels = np.where(mask > 0, 3, 0).astype(np.uint8)
  labels[6:9, 6:9] = VENTRICLE
  twin = (0.6 + brightness + 0.05 * rng.normal(size=mask.shape)) * mask
  twin[labels == VENTRICLE] = 0.1
  lesion = np.zeros_like(mask)
  if pathology != 'none':
    lesion[3:6, 10:13] = k in (1, 2)
    lesion[12, 4] = k == 0
  return {
    'image': (twin + 0.3 * lesion).astype(np.float32),
    'twin': twin.astype(np.float32),
    'mask': mask,
    'lesion': lesion,
    'labels': labels,
    'position': np.float32(k / SLICES),
    'subject': subject,
    'session': '',
    'slice': 10 + 2 * k,
    'affine': np.diag([2.0, 2, 2, 1]),
    'pathology': pathology,
    'domain': 'a',
    'age': np.nan,
  }


def split(seed, pathologies, brightness=0.0):
  rng = np.random.default_rng(seed)
  return [
    record(f'sub-{seed}{i}', k, rng, pathology, brightness)
    for i, pathology in enumerate(pathologies)
    for k in range(SLICES)
  ]


def batches(records, size=BATCH):
  for start in range(0, len(records), size):
    rows = records[start : start + size]
    short = size - len(rows)
    batch = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    batch['weight'] = np.ones(len(rows), np.float32)
    # Padding that would be seen at once, were it not left out.
    batch = {
      name: np.concatenate([array, np.repeat(array[-1:], short, 0)])
      for name, array in batch.items()
    }
    batch['image'][len(rows) :] = 50
    batch['weight'][len(rows) :] = 0
    yield batch


SEEN = set()


def infer(params, stats, batch, key):
  """A constant prior, and a deformation that looks at the brightest voxels."""
  SEEN.update(batch)
  image = batch['image']
  prior = jnp.full_like(image, params['level']) * batch['mask']
  bright = (image - 0.7 > 0) * image
  displacement = jnp.concatenate([bright, 0 * bright], -1)
  return {
    'prior': prior,
    'reconstruction': prior,
    'displacement': displacement,
    'gate': jnp.where(image > 0.8, 1.0, 0.0),
  }


def absolute(infer, batch, key):
  return jnp.abs(batch['image'] - infer(batch, key)['prior'])


def signed(infer, batch, key):
  return batch['image'] - infer(batch, key)['prior']


METHOD = Method(init=None, objectives={}, infer=infer)
SCORERS = {'absolute': absolute, 'signed': signed}
TEST = ('none', 'ms', 'tumour', 'none', 'ms')


def run(key, **options):
  options = {'resamples': 50, 'progress': False} | options
  return evaluation.evaluate(
    METHOD,
    {'level': jnp.float32(0.6)},
    {},
    options.pop('scorers', SCORERS),
    batches(options.pop('val', split(1, ('none',) * 3))),
    batches(options.pop('test', split(2, TEST))),
    key,
    **options,
  )
