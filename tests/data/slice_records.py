"""Records of small slices whose values tell subject and slice."""

import numpy as np

from uad_jax.data import pipeline


def make_records(subjects=5, slices=3, **options):
  records = []
  for s in range(subjects):
    for k in range(slices):
      array = np.full((4, 4, 1), 10 * s + k, np.float32)
      records.append(
        {
          'image': array,
          'twin': array,
          'mask': np.ones((4, 4, 1), np.uint8),
          'lesion': np.zeros((4, 4, 1), np.uint8),
          'labels': np.zeros((4, 4, 1), np.uint8),
          'position': np.float32(k / slices),
          'subject': f's{s}'.encode(),
          'session': b'',
          'domain': b'a',
          'pathology': b'none',
          'details': b'{}',
          'slice': np.int32(k),
        }
      )
  return pipeline.Records(records, **options)
