import numpy as np
import pytest

from uad_jax.evaluation.reconstruction_quality import measure


def volume(rng, reconstruct, shape=(12, 10, 6)):
  """A scan with a bright and a dark lesion in it, and what a method made of it."""
  twin = rng.uniform(0.2, 0.8, (*shape, 1))
  mask = np.zeros_like(twin)
  mask[1:-1, 1:-1] = 1
  lesion = np.zeros_like(twin)
  lesion[3:6, 3:6, 2:4] = lesion[8:10, 4:6, 2] = 1
  contrast = np.where(np.arange(shape[0]) < 7, 0.4, -0.2)[:, None, None, None]
  image = twin + lesion * contrast
  return {
    'image': image,
    'mask': mask,
    'lesion': lesion,
    'twin': twin,
    'reconstruction': reconstruct(image),
    'twin_reconstruction': reconstruct(twin),
  }


@pytest.mark.parametrize('share', [0.0, 0.3, 1.0])
def test_the_share_of_the_lesion_that_is_followed_is_found(share):
  # Bias and shrinking towards a mean are in both reconstructions.
  rng = np.random.default_rng(0)
  found = measure(volume(rng, lambda x: 0.1 + share * x), planar=True)
  assert found['lesion_copied'] == pytest.approx(share)


def test_what_does_not_follow_the_lesion_counts_as_an_error_alone():
  rng = np.random.default_rng(1)
  flat = volume(rng, lambda x: np.full_like(x, 0.5), (40, 40, 12))
  found = measure(flat, planar=False)
  assert found['lesion_copied'] == 0
  # Of t uniform on (0.2, 0.8): E |t - 0.5| = 0.15.
  assert found['healthy_error'] == pytest.approx(0.15, abs=0.01)


def test_the_surroundings_of_lesions_are_not_healthy_brain():
  rng = np.random.default_rng(2)
  one = volume(rng, np.copy)
  one['reconstruction'][6, 4, 2] += 1  # beside the lesion
  one['reconstruction'][0, 0, 0] += 1  # outside the brain
  assert measure(one, planar=True)['healthy_error'] == 0
  one['reconstruction'][1, 8, 0] += 1
  assert measure(one, planar=True)['healthy_error'] > 0


def test_only_what_the_arrays_allow_is_measured():
  one = volume(np.random.default_rng(3), np.copy)
  without = {name: one[name] for name in one if 'twin' not in name}
  assert set(measure(without, planar=True)) == {'healthy_error'}
  one['lesion'] = np.zeros_like(one['lesion'])
  assert set(measure(one, planar=True)) == {'healthy_error'}
  del one['reconstruction']
  assert measure(one, planar=True) == {}
