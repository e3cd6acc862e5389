"""Healthy scans with statistics that lack them: groups, sums, and their ranges."""

import numpy as np

from uad_jax.data import pipeline
from uad_jax.evaluation import left_out
from uad_jax.evaluation.scans import text


def records(subjects):
  """Records whose image is their number plus one; three a subject, the last has two."""
  names = [name for name in subjects for _ in range(3)][:-1]
  return [
    {
      'subject': name,
      'session': '',
      'image': np.full((2, 2, 1), 1.0 + number, np.float32),
      'mask': np.ones((2, 2, 1), np.float32),
    }
    for number, name in enumerate(names)
  ]


def without(stats, batch):
  size = (batch['weight'] * batch['image'][:, 0, 0, 0]).sum()
  return {'sum': stats['sum'] - size, 'count': stats['count'] - batch['weight'].sum()}


def test_each_subject_comes_once_without_its_own_records():
  all_records = records(['a', 'b', 'c'])
  batches = pipeline.ordered_batches(all_records, 2)  # which two subjects may share
  stats = {'sum': 36.0, 'count': 8}
  parts = list(left_out.by_subject(batches, without, stats))
  own = [
    [text(name) for batch in group for name in batch['subject'][batch['weight'] > 0]]
    for group, _ in parts
  ]
  assert own == [['a'] * 3, ['b'] * 3, ['c'] * 2]
  assert [reduced for _, reduced in parts] == [
    {'sum': 30.0, 'count': 5},
    {'sum': 21.0, 'count': 5},
    {'sum': 21.0, 'count': 6},
  ]
  assert all(len(batch['weight']) == 2 for group, _ in parts for batch in group)
  assert not list(left_out.by_subject([], without, stats))
