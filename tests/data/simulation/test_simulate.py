import hashlib

import numpy as np
import pytest

from uad_jax.data import manifest
from uad_jax.data.preprocessing.tissue_classes import VENTRICLE
from uad_jax.data.simulation import deform
from uad_jax.data.simulation.anatomy import (
  anatomy,
  field_grid,
  half_affine,
  halved,
  interpolate,
  points,
)
from uad_jax.data.simulation.pathology import KINDS
from uad_jax.data.simulation.scanner import DOMAINS
from uad_jax.data.simulation.simulate import STEPS, Grid, simulate

SMALL = Grid((32, 32, 26), 6.0, (11, 13, 15), 2)


def test_interpolation_equals_scipys():
  from scipy.ndimage import map_coordinates

  random = np.random.default_rng(0)
  volume = random.standard_normal((6, 7, 8, 2)).astype(np.float32)
  affine = np.diag([2.0, 3.0, 1.5, 1.0])
  affine[:3, 3] = (-4, 2, 1)
  mm = random.uniform(0, 1, (50, 3)) * (9, 17, 10) + (-4, 2, 1)
  voxels = ((mm - affine[:3, 3]) / np.diag(affine)[:3]).T
  found = interpolate(volume, affine, mm.astype(np.float32))
  for c in range(2):
    # Oracle: scipy.ndimage.map_coordinates.
    expected = map_coordinates(volume[..., c], voxels, order=1)
    np.testing.assert_allclose(found[:, c], expected, atol=1e-4)


def test_tissues_sum_to_one_and_ventricles_are_fluid():
  found = anatomy()
  np.testing.assert_allclose(found.tissue.sum(-1), 1, atol=1e-4)
  volume_ml = found.ventricle.sum() / 1000
  assert 10 < volume_ml < 60
  inside = found.ventricle > 0.5
  assert found.tissue[..., 0][inside].mean() > 0.8
  assert (found.depth[inside] < 3).all()


def volume_under(velocity):
  _, affine = field_grid()
  share = halved(anatomy().ventricle)
  mm = points(share.shape, half_affine())
  moved = mm + interpolate(deform.exponential(velocity), affine, mm)
  return interpolate(share, half_affine(), moved).sum()


@pytest.mark.parametrize('ratio', [1.5, 2.0, 3.0])
def test_atrophy_gives_the_ventricle_volume_asked_for(ratio):
  still = volume_under(0 * deform.atrophy_velocity(1.0, 0.0))
  found = volume_under(deform.atrophy_velocity(ratio, 0.0)) / still
  assert abs(found - ratio) < 0.12 * ratio


def test_a_velocity_and_its_negative_undo_each_other():
  velocity = deform.random_velocity(np.random.default_rng(1))
  forth, back = deform.exponential(velocity), deform.exponential(-velocity)
  apart = np.linalg.norm(deform.composed(forth, back), axis=-1)
  assert np.linalg.norm(forth, axis=-1).max() > 3
  assert apart[4:-4, 4:-4, 4:-4].max() < 0.35  # mm, on a grid of 4 mm


def test_random_velocity_is_at_most_six_mm():
  velocity = deform.random_velocity(np.random.default_rng(2))
  assert np.linalg.norm(velocity, axis=-1).max() <= deform.LARGEST_MM * 1.001


def test_a_push_moves_tissue_outwards():
  centre = np.array([0.0, -20.0, 10.0])
  u = deform.exponential(deform.push_velocity(centre, 16.0, 4.0))
  _, affine = field_grid()
  for direction in np.eye(3):
    beside = np.float32(centre + 16 * direction)[None]
    moved = interpolate(u, affine, beside)[0]
    # The anatomy seen there comes from nearer to the centre.
    assert (
      moved @ direction < -2
      and np.abs(moved - (moved @ direction) * direction).max() < 0.5
    )


@pytest.mark.parametrize('pathology', ['none', *KINDS])
def test_a_subject_and_its_twin(pathology):
  found = simulate(f'sub-{pathology}', SMALL, 'a', pathology)
  shape = (32, 32, 3, 1)
  assert found.image.shape == found.twin.shape == found.lesion.shape == shape
  assert found.velocity.shape == (32, 32, 3, 3)
  assert found.image.min() >= 0 and 0.8 < np.percentile(found.image, 99.5) <= 1.5
  assert (found.image[found.mask == 0] == 0).all()
  assert (found.lesion <= found.mask).all()
  assert (found.labels[found.mask == 0] == 0).all()
  apart = np.abs(found.image - found.twin)
  if pathology == 'none':
    assert found.lesion.sum() == 0 and apart.max() == 0
    return
  lesion = found.lesion > 0
  assert lesion.sum() >= 2
  if pathology != 'tumour':  # whose mass effect reaches beyond it
    assert apart[~lesion & (found.mask > 0)].mean() < 0.2 * apart[lesion].mean()
  if pathology == 'iso':
    change = (found.image - found.twin)[lesion]
    assert abs(change.mean()) < 0.25 * np.abs(change).mean() + 0.03


def test_t1_lesions_are_dark_and_ventricles_too():
  found = simulate('dark', SMALL, 'a', 'ms')
  lesion = found.lesion > 0
  assert (found.image - found.twin)[lesion].mean() < -0.05
  ventricle = found.twin[found.labels == VENTRICLE]
  assert ventricle.mean() < 0.5 * found.twin[found.mask > 0].mean()


@pytest.mark.parametrize('domain', DOMAINS)
def test_domains_differ(domain):
  found = simulate('same', SMALL, domain)
  source = simulate('same', SMALL, 'a')
  if domain == 'a':
    np.testing.assert_array_equal(found.image, source.image)
  else:
    inside = source.mask > 0
    assert np.abs(found.image - source.image)[inside].mean() > 0.008
    np.testing.assert_array_equal(found.velocity, source.velocity)


def test_the_same_seed_gives_the_same_bytes():
  found = simulate('bytes', SMALL, 'a', 'stroke', seed=3)
  again = simulate('bytes', SMALL, 'a', 'stroke', seed=3)
  other = simulate('bytes', SMALL, 'a', 'stroke', seed=4)
  assert manifest.digest_of({'image': found.image}) == manifest.digest_of(
    {'image': again.image}
  )
  assert not np.array_equal(found.image, other.image)
  # Rounded to 1 / STEPS, so that another order of additions does not change the bytes.
  levels = found.image * STEPS
  np.testing.assert_array_equal(levels, np.round(levels))
  sha = hashlib.sha256(np.int16(levels).tobytes() + found.lesion.tobytes())
  assert sha.hexdigest() == GOLDEN


GOLDEN = 'bc09c0f11fcce733577dac767f05c6e57da090f4ccb13c2e8aa30d26a5f3f938'
