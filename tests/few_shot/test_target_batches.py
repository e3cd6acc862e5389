"""Batch sizes of adaptations: all target scans at once where an adaptation asks so."""

import jax
import pytest
from ml_collections import ConfigDict

from uad_jax import resume
from uad_jax.few_shot.adapted_config import AT_ONCE, read_adaptation
from uad_jax.few_shot.adapted_config import target_batch_size_of as size_of


def test_adabn_takes_all_slices_of_five_heads_at_once():
  size = size_of(read_adaptation('adabn'), 205, (64, 64))
  assert 205 <= size < 205 + jax.device_count() and not size % jax.device_count()


@pytest.mark.parametrize(
  ('name', 'records', 'shape'),
  [('adabn', AT_ONCE // 64**2 + 1, (64, 64)), ('voxel_moments', 205, (64, 64))],
)
def test_others_and_too_many_voxels_keep_the_batch_of_the_config(name, records, shape):
  assert size_of(read_adaptation(name), records, shape) == 16


def test_the_batch_of_target_scans_is_no_other_splits():
  config = ConfigDict(dict(batch_size=16, target_batch_size=206))
  assert resume.batch_size_of(config, 'few_shot') == 206
  assert resume.batch_size_of(config, 'train') == 16
  assert resume.batch_size_of(ConfigDict(dict(batch_size=16)), 'few_shot') == 16
