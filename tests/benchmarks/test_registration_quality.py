"""The benchmark of registrations, on boxes with labels whose overlap is known."""

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import registration_quality as quality
from uad_jax.data.preprocessing.preprocess import DLMUSE

VENTRICLE = DLMUSE['ventricle'][0]


def head(start):
  """A head with a ventricle of 4 voxels along the first axis, and a region beside."""
  labels = np.zeros((12, 4, 4), int)
  labels[start : start + 4] = VENTRICLE
  labels[0] = 100
  return quality.Head(labels.astype('float32'), np.ones((12, 4, 4), bool), labels)


def test_overlap_is_the_mean_over_regions():
  moving, fixed = head(3), head(5)
  found = quality.overlap(moving.labels, fixed.labels)
  # Two of four voxels of the ventricle overlap, and all of the other region.
  assert found['ventricle_dice'] == pytest.approx(0.5)
  assert found['dice'] == pytest.approx((0.5 + 1.0) / 2)


def test_labels_move_with_the_field_and_a_table_is_made():
  # The ventricle of the moving head, two voxels to the right.
  def shift(moving, fixed):
    u = jnp.zeros((*fixed.shape[:-1], 3))
    return u.at[:, 2:, ..., 0].set(-2.0)

  ways = {'no field': quality.at_rest, 'shift': shift}
  pairs = [(head(3), head(5)), (head(3), head(5))]
  every = {
    name: quality.measure(quality.by_field(way), pairs) for name, way in ways.items()
  }
  assert every['no field']['ventricle_dice'] == [0.5, 0.5]
  assert every['shift']['ventricle_dice'] == [1.0, 1.0]
  assert every['no field']['folding_percent'] == [0, 0]
  assert every['shift']['folding_percent'][0] > 0  # where the jump is
  assert '| shift | ' in quality.table(every)
