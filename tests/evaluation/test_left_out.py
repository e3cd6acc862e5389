"""Healthy scans with statistics that lack them: groups, sums, and their ranges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.cohort import batches as in_batches
from tests.cohort import split
from uad_jax.data import pipeline
from uad_jax.evaluate import evaluate
from uad_jax.evaluation import left_out
from uad_jax.evaluation.scans import text
from uad_jax.method import Method


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


def test_the_thresholds_are_those_of_scans_that_the_mean_lacks():
  healthy = [
    record
    for number, brightness in enumerate((0.0, 0.05, 0.3))
    for record in split(10 + number, ('none',), brightness)
  ]
  images = np.stack([record['image'] for record in healthy])
  stats = {'sum': jnp.asarray(images.sum(0)), 'count': jnp.asarray(len(images) * 1.0)}

  def infer(params, stats, batch, key):
    mean = stats['sum'] / stats['count']
    return {'reconstruction': jnp.broadcast_to(mean, batch['image'].shape)}

  def without(params, stats, batch):
    weight = jnp.asarray(batch['weight'])
    return {
      'sum': stats['sum'] - jnp.tensordot(weight, jnp.asarray(batch['image']), 1),
      'count': stats['count'] - weight.sum(),
    }

  def residual(infer, batch, key):
    return jnp.abs(batch['image'] - infer(batch, key)['reconstruction'])

  method = Method(init=None, objectives={}, infer=infer, without=without)
  thresholds = {}
  for function in (None, without):
    results = evaluate(
      method,
      {},
      stats,
      {'residual': residual},
      in_batches(healthy),
      in_batches(split(2, ('ms',))),
      jax.random.key(0),
      without=function,
      resamples=10,
      progress=False,
    )
    thresholds[function] = results.summary['scorers']['residual']['thresholds']['5']
  brain = healthy[0]['mask'][..., 0] > 0
  for function, share in ((None, 0), (without, 4)):
    scores = []
    for subject in range(3):
      own = images[4 * subject : 4 * subject + 4]
      mean = (images.sum(0) - own.sum(0) * share / 4) / (len(images) - share)
      scores.append(abs(own - mean)[:, brain])
    expected = np.quantile(np.concatenate(scores).ravel(), 0.95)
    assert thresholds[function] == pytest.approx(expected, rel=0.02)
  assert thresholds[without] > 1.3 * thresholds[None]
