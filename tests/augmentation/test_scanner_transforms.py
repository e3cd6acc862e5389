"""Intensity curves and loss of resolution against numpy and scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from tests.method_table import make_batch
from uad_jax.augmentation import scanner_transforms as transforms

RANDOM = {
  'curve': (transforms.random_curve, 1.0),
  'blur': (transforms.random_blur, 3.0),
  'slices': (transforms.random_slices, 4),
}


def scans(shape, size=6):
  """Scans with two contrasts, whose background is not 0."""
  batch = make_batch(shape, size)
  noise = np.random.default_rng(1).normal(size=(*batch['image'].shape[:-1], 2))
  batch['image'] = (batch['image'] + 0.1 * noise).astype(np.float32)
  batch['mask'][0] = 0  # a scan without brain
  return batch


def brains(batch):
  """Intensities of each scan and contrast in the brain."""
  for image, mask in zip(batch['image'], batch['mask'], strict=True):
    for c in range(image.shape[-1]):
      if mask.any():
        yield np.asarray(image)[..., c][mask[..., 0] > 0]


@pytest.mark.parametrize('shape', [(16, 14), (7, 8, 9)])
@pytest.mark.parametrize('name', RANDOM)
def test_the_background_stays_and_the_range_is_kept(key, name, shape):
  batch, (change, strength) = scans(shape), RANDOM[name]
  run = jax.jit(lambda key, batch: change(key, batch, strength))
  found = run(key, batch)
  outside = np.broadcast_to(batch['mask'] == 0, batch['image'].shape)
  image = np.asarray(found['image'])
  np.testing.assert_array_equal(image[outside], batch['image'][outside])
  np.testing.assert_array_equal(found['mask'], batch['mask'])
  for before, after in zip(brains(batch), brains(found), strict=True):
    assert before.min() - 1e-6 <= after.min() and after.max() <= before.max() + 1e-6
  assert np.abs(image - batch['image']).max() > 0.01
  np.testing.assert_array_equal(image, run(key, batch)['image'])
  other = run(jax.random.fold_in(key, 1), batch)['image']
  assert not np.array_equal(image, other)


@pytest.mark.parametrize('name', RANDOM)
def test_strength_zero_is_the_identity(key, name):
  batch, (change, _) = scans((16, 14)), RANDOM[name]
  found = change(key, batch, 1 if name == 'slices' else 0.0)
  np.testing.assert_allclose(found['image'], batch['image'], atol=1e-6)


def test_a_random_curve_keeps_the_order_and_the_ends(key):
  batch = scans((16, 14))
  found = transforms.random_curve(key, batch, 1.0)
  changes = []
  for before, after in zip(brains(batch), brains(found), strict=True):
    order = np.argsort(before)
    assert (np.diff(after[order]) >= -1e-6).all()
    np.testing.assert_allclose(after[order[[0, -1]]], before[order[[0, -1]]], atol=1e-6)
    changes.append(np.interp(0.5, before[order], after[order]) - 0.5)
  assert (
    len(np.unique(np.round(changes, 4))) == 10
  )  # each scan and contrast has its own


def test_a_curve_is_piecewise_linear_between_its_nodes():
  batch = scans((16, 14))
  rng = np.random.default_rng(3)
  increments = rng.dirichlet(np.ones(5), (6, 2)).transpose(0, 2, 1).astype(np.float32)
  found = transforms.curve(batch['image'], batch['mask'], increments)
  for i in range(1, 6):
    for c in range(2):
      inside = batch['mask'][i, ..., 0] > 0
      x = batch['image'][i, ..., c][inside]
      low, high = x.min(), x.max()
      # numpy.interp through the cumulated increments.
      nodes = low + (high - low) * np.linspace(0, 1, 6)
      values = low + (high - low) * np.cumsum([0, *increments[i, :, c]])
      np.testing.assert_allclose(
        np.asarray(found)[i, ..., c][inside], np.interp(x, nodes, values), atol=1e-5
      )


def test_the_filter_has_its_width_at_half_maximum():
  matrices = np.asarray(transforms.gaussian_matrix(41, jnp.array([0.0, 4.0, 8.0])))
  np.testing.assert_array_equal(matrices[0], np.eye(41))
  for width, matrix in zip((4, 8), matrices[1:], strict=True):
    middle = matrix[20]
    assert middle[20 + width // 2] == pytest.approx(middle[20] / 2, rel=1e-4)
  np.testing.assert_allclose(matrices.sum(-1), 1, atol=1e-5)


def test_blur_is_a_normalised_convolution_along_the_axis():
  batch = scans((16, 24))
  sigma = 1.5
  fwhm = jnp.full(6, sigma * transforms.FWHM_PER_SIGMA)
  matrices = (
    transforms.gaussian_matrix(16, jnp.zeros(6)),
    transforms.gaussian_matrix(24, fwhm),
  )
  image = np.asarray(transforms.averaged(batch, matrices)['image'])
  for i in range(1, 6):
    mask = batch['mask'][i, ..., 0]
    for c in range(2):
      # scipy with 0 outside of the grid; what its rows sum to cancels in the ratio.
      parts = [
        ndimage.gaussian_filter1d(
          part.astype(np.float64), sigma, axis=1, mode='constant', truncate=12
        )
        for part in (batch['image'][i, ..., c] * mask, mask)
      ]
      inside = mask > 0
      expected = (parts[0] / np.maximum(parts[1], 1e-9))[inside]
      np.testing.assert_allclose(image[i, ..., c][inside], expected, atol=1e-4)


def test_half_of_the_scans_blur_along_one_axis_and_half_along_the_others(key):
  size = 32
  batch = {
    'image': np.zeros((size, 9, 9, 9, 1), np.float32),
    'mask': np.ones((size, 9, 9, 9, 1), np.float32),
  }
  batch['image'][:, 4, 4, 4] = 1
  image = np.asarray(transforms.random_blur(key, batch, 4.0)['image'])[..., 0]
  spread = [image.sum(tuple({1, 2, 3} - {a})) for a in (1, 2, 3)]  # [axis][scan, 9]
  wide = np.stack([s[:, 4] < 0.999 for s in spread], 1).sum(1)
  assert {1, 2} <= set(wide) and set(wide) <= {0, 1, 2}  # 0: a width close to 0


@pytest.mark.parametrize(('size', 'thickness'), [(12, 3), (13, 4), (5, 1), (4, 9)])
def test_thick_slices_are_slab_means_interpolated(size, thickness):
  x = np.random.default_rng(0).normal(size=size)
  # A loop over slabs.
  starts = range(0, size, thickness)
  slabs = [x[i : i + thickness].mean() for i in starts]
  centres = [np.arange(size)[i : i + thickness].mean() for i in starts]
  expected = np.interp(np.arange(size), centres, slabs)
  matrix = transforms.slab_matrix(size, thickness)
  np.testing.assert_allclose(matrix @ x, expected, atol=1e-5)
  if thickness == 1:
    np.testing.assert_array_equal(matrix, np.eye(size))


def test_slices_of_every_thickness_are_drawn(key):
  batch = {
    'image': np.tile(np.arange(12.0) % 7, (64, 12, 1))[..., None].astype(np.float32),
    'mask': np.ones((64, 12, 12, 1), np.float32),
  }  # the image varies along the second axis only
  image = np.asarray(transforms.random_slices(key, batch, 3)['image'])[..., 0]
  row = batch['image'][0, 0, :, 0]
  expected = [transforms.slab_matrix(12, k) @ row for k in (1, 2, 3)]
  drawn = [[np.allclose(one[0], e, atol=1e-4) for e in expected] for one in image]
  assert np.all(np.sum(drawn, 1) == 1)
  counts = np.sum(drawn, 0)
  assert counts[1] > 4 and counts[2] > 4 and counts[0] > 30  # 1/6, 1/6 and 2/3
