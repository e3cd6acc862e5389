"""Pairs of scans: group sizes, classes and domains, against a loop over all pairs."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.adapt.two_domains import batches
from tests.long_variants import all_but
from uad_jax.adapt.families import pair_groups
from uad_jax.adapt.families.pair_classes import CLASSES, classes_by

SOURCE_WEIGHT = np.array([1, 1, 1, 1, 1, 0], np.float32)
TARGET_WEIGHT = np.array([1, 1, 0, 1, 1], np.float32)
PAINTERS = ('factor', 'shift')


def labels(kind, key):
  """Classes of a source and a target batch by one kind of classes."""
  splits = batches(size=6)
  target = {name: value[:5] for name, value in splits['few_shot'].items()}
  classify = classes_by(kind, 3, PAINTERS, 'both')
  keys = jax.random.split(key)
  return [
    np.asarray(classify(k, batch)[1])
    for k, batch in zip(keys, (splits['train'], target), strict=True)
  ]


def every_pair(source, target):
  """All pairs that a group may hold, by brute force; target scans count on from 6."""
  groups = [set(), set(), set(), set()]
  scans = [(i, c, 0) for i, c in enumerate(source) if SOURCE_WEIGHT[i]]
  scans += [(6 + i, c, 1) for i, c in enumerate(target) if TARGET_WEIGHT[i]]
  for (i, c, domain), (j, other, other_domain) in itertools.permutations(scans, 2):
    if domain == 0:
      groups[other_domain + 2 * int(c != other)].add((i, j))
  return groups


@pytest.mark.parametrize('kind', all_but(CLASSES, ('position', 'two')))
def test_groups_are_of_equal_size_and_hold_allowed_pairs_once(kind, key):
  number = 2 if kind == 'two' else 4
  source, target = labels(kind, key)
  allowed = every_pair(source, target)[:number]
  drawn = jax.jit(pair_groups.draw, static_argnums=(5, 6))(
    key, source, target, SOURCE_WEIGHT, TARGET_WEIGHT, 12, number
  )
  size = min(12, *map(len, allowed))
  assert size > 2  # else this test shows nothing
  assert drawn.weight.sum() == size
  assert drawn.first.shape == drawn.second.shape == (number, 12)
  for group, first, second in zip(allowed, drawn.first, drawn.second, strict=True):
    pairs = list(zip(first[:size].tolist(), second[:size].tolist(), strict=True))
    assert len(set(pairs)) == size and set(pairs) <= group


def test_every_allowed_pair_is_drawn_equally_often():
  source, target = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 2, 0])
  allowed = every_pair(source, target)
  weights = jnp.array(SOURCE_WEIGHT), jnp.array(TARGET_WEIGHT)

  def draw(key):
    return pair_groups.draw(key, jnp.array(source), jnp.array(target), *weights, 2)

  drawn = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), 4000))
  for number, group in enumerate(allowed):
    codes = np.asarray(drawn.first[:, number] * 100 + drawn.second[:, number])
    found, counts = np.unique(codes, return_counts=True)
    assert len(found) == len(group)
    expected = 4000 * 2 / len(group)
    # Four standard deviations of a binomial count.
    assert np.abs(counts - expected).max() < 4 * np.sqrt(expected)


def test_without_a_pair_in_one_group_all_are_empty(key):
  source, target = jnp.zeros(4, int), jnp.zeros(3, int)
  drawn = pair_groups.draw(key, source, target, jnp.ones(4), jnp.ones(3), 5)
  assert drawn.weight.sum() == 0


@pytest.mark.slow
def test_classes_are_bins_of_height_painted_scans_or_one(key):
  batch = batches(size=6)['train']
  bins = classes_by('position', 3, PAINTERS, 'both')(key, batch)[1]
  # Heights 0, 0.2, ..., 1 in three bins of one third.
  assert bins.tolist() == [0, 0, 1, 1, 2, 2]
  assert classes_by('two', 3, PAINTERS, 'both')(key, batch)[1].tolist() == [0] * 6
  large = batches(size=32)['train']
  painted, sick = classes_by('painted', 3, PAINTERS, 'both')(key, large)
  changed = np.abs(painted['image'] - large['image']).max((1, 2, 3)) > 0
  assert 6 < sick.sum() < 26
  assert (changed >= (sick > 0)).all() and (changed == sick).mean() > 0.9
