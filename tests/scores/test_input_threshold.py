"""Intensity and its ranks against scipy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from uad_jax.scores.input_threshold import intensity_ranks, make

SHAPE = (3, 12, 10, 2)


def nothing(batch, key):
  raise AssertionError('the method is not asked')


def batch_of(key, bins=17):
  """Intensities on the levels of `bins`, exact in binary, both ends among them."""
  key_image, key_mask = jax.random.split(key)
  mask = jax.random.bernoulli(key_mask, 0.7, (*SHAPE[:-1], 1)).astype(jnp.float32)
  mask = mask.at[:, 0, :2].set(1.0)
  level = jax.random.randint(key_image, SHAPE, 0, bins)
  level = level.at[:, 0, 0].set(0).at[:, 0, 1].set(bins - 1)
  return {'image': level / (bins - 1), 'mask': mask}


def test_ranks_are_those_of_scipy(key):
  batch = batch_of(key)
  found = np.asarray(intensity_ranks(batch['image'], batch['mask'], bins=17))
  for b in range(SHAPE[0]):
    inside = np.asarray(batch['mask'][b, ..., 0]) > 0
    for c in range(SHAPE[-1]):
      values = np.asarray(batch['image'][b, ..., c])[inside]
      # oracle: scipy, the share of voxels not above
      want = stats.rankdata(values, 'max') / len(values)
      np.testing.assert_allclose(found[b, ..., c][inside], want, rtol=1e-6)
      assert (found[b, ..., c][~inside] == 0).all()


def test_ranks_do_not_change_with_the_scale(key):
  batch = batch_of(key)
  twice = intensity_ranks(2 * batch['image'] + 3, batch['mask'], bins=17)
  np.testing.assert_array_equal(
    intensity_ranks(batch['image'], batch['mask'], bins=17), twice
  )


@pytest.mark.parametrize('sign', ['bright', 'dark'])
@pytest.mark.parametrize('equalise', [False, True])
def test_the_map_is_the_image_or_its_ranks(sign, equalise, key):
  batch = batch_of(key)
  image, mask = batch['image'], batch['mask']
  value = intensity_ranks(image, mask, 17) if equalise else image
  want = (value if sign == 'bright' else 1 - value) * mask
  found = make(sign, equalise, bins=17)(nothing, batch, key)
  np.testing.assert_allclose(found, want.mean(-1, keepdims=True), atol=1e-6)
  assert found.shape == mask.shape


def test_an_unknown_sign_is_told():
  with pytest.raises(ValueError, match="unknown sign 'up'; there are bright, dark"):
    make('up')
