import numpy as np
import pytest
from scipy import ndimage

from tests.data.heads import TO_SCAN, head, write
from tests.data.lesion_files import shape_files
from uad_jax.data.cohorts import lesion_heads, lesion_mechanisms, lesions
from uad_jax.data.preprocessing import brainmask
from uad_jax.data.preprocessing.grid import spacing


@pytest.fixture(scope='module')
def scan():
  image, labels, affine = head()
  brain = brainmask.from_labels(labels, spacing(affine))
  return lesions.Head(image, brain, labels == 1, affine, TO_SCAN)


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
  return shape_files(tmp_path_factory.mktemp('shapes'), 6)


@pytest.mark.parametrize('seed, mirrored', [(0, False), (2, True)])
def test_a_shape_lands_in_the_subject_at_its_size(scan, shapes, seed, mirrored):
  # Oracle: a ball of 12 mm at (27, -30, 25) mm of the template, mirrored or not.
  mask, placement = lesions.place(
    lesions.read_shape(shapes[0]), scan, 7.2, np.random.default_rng(seed)
  )
  millilitres = mask.sum() * abs(np.linalg.det(scan.affine[:3, :3])) / 1000
  assert abs(millilitres - 7.2) < 2.0
  centre = np.array(ndimage.center_of_mass(mask))
  mm = scan.affine[:3, :3] @ centre + scan.affine[:3, 3] - placement['shift_mm']
  template_mm = np.linalg.solve(TO_SCAN, [*mm, 1])[:3]
  assert placement['mirrored'] == mirrored
  expected = (-27 if mirrored else 27, -30, 25)
  np.testing.assert_allclose(template_mm, expected, atol=2.5)


def test_masks_lie_in_tissue_and_fill_the_fraction(scan, shapes):
  for seed in range(4):
    random = np.random.default_rng(seed)
    mask, placements = lesions.draw_masks(scan, shapes, 0.01, random)
    assert not (mask & ~scan.tissue).any()
    assert 0.004 < mask.sum() / scan.brain.sum() < 0.017
    assert 1 <= len(placements) <= 4
  again, _ = lesions.draw_masks(scan, shapes, 0.01, np.random.default_rng(3))
  np.testing.assert_array_equal(again, mask)


@pytest.mark.parametrize('kind', lesion_mechanisms.KINDS)
def test_paint_changes_the_lesion_only(scan, shapes, kind):
  mask, _ = lesions.draw_masks(scan, shapes, 0.01, np.random.default_rng(0))
  image, strength = lesion_mechanisms.paint(scan, mask, kind, np.random.default_rng(1))
  far = ~ndimage.binary_dilation(mask, iterations=4)
  np.testing.assert_array_equal(image[far], scan.image[far])
  ratio = image[mask].mean() / scan.image[mask].mean()
  if kind == 'dark':
    assert 0.5 <= strength['factor'] <= 0.8 and 0.5 < ratio < 0.9
  elif kind == 'bright':
    assert 1.2 <= strength['factor'] <= 1.5 and 1.1 < ratio < 1.5
  else:
    assert abs(ratio - 1) < 1e-4
    change = (image - scan.image)[mask] / scan.image[mask]
    assert 0.03 < change.std() < 0.5


@pytest.mark.parametrize('kind', lesion_mechanisms.KINDS)
def test_a_mixture_is_densest_in_the_core_and_leaves_the_rest(scan, shapes, kind):
  # Oracle: I' = (1 - w) I + w T, solved for w at each voxel.
  mask, _ = lesions.draw_masks(scan, shapes, 0.02, np.random.default_rng(0))
  random = np.random.default_rng(1)
  image, strength = lesion_mechanisms.mix_fluid(scan, mask, kind, random)
  np.testing.assert_array_equal(image[~mask], scan.image[~mask])
  low, high = lesion_mechanisms.MIXED
  assert low <= strength['mixed'] <= high
  if kind != 'iso':
    other = lesion_mechanisms.substance(scan, kind)
    assert (other > np.median(scan.image[scan.tissue])) == (kind == 'bright')
    distance = np.abs(other - scan.image)
    clear = mask & (distance > 0.2 * distance.max())
    weight = (np.abs(image - scan.image) / np.maximum(distance, 1e-6))[clear]
    depth = ndimage.distance_transform_edt(mask, spacing(scan.affine))[clear]
    expected = strength['mixed'] * np.minimum(depth / lesion_mechanisms.RIM, 1)
    np.testing.assert_allclose(weight, expected, atol=1e-3)


def test_tissue_by_intensity_leaves_fluid_out(scan):
  fluid = scan.brain & ~scan.tissue  # the ventricles of the label file
  tissue = lesion_heads.tissue_by_intensity(scan.image, scan.brain)
  assert not (tissue & ~scan.brain).any()
  assert tissue[fluid].mean() < 0.3 < 0.8 < tissue[scan.tissue].mean()


def test_unknown_kinds_and_masks_that_never_fit(scan, tmp_path):
  with pytest.raises(ValueError, match="'grey'.* dark, bright"):
    lesion_mechanisms.paint(scan, scan.brain, 'grey', np.random.default_rng(0))
  with pytest.raises(ValueError, match="'grey'.* dark, bright"):
    lesion_mechanisms.mix_fluid(scan, scan.brain, 'grey', np.random.default_rng(0))
  affine = np.diag([2.0, 2, 2, 1])
  affine[:3, 3] = 400
  far = write(tmp_path / 'far.nii.gz', np.ones((9, 9, 9), np.uint8), affine)
  with pytest.raises(ValueError, match='none of 1 lesion masks fits'):
    lesions.draw_masks(scan, [far], 0.01, np.random.default_rng(0))
