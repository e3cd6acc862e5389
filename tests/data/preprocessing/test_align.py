import nibabel as nib
import numpy as np
import pytest

from tests.data.heads import TO_SCAN, head, worst
from uad_jax.data.preprocessing import align, bias, brainmask
from uad_jax.data.preprocessing.grid import spacing
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.ops import affine_matrix


@pytest.mark.parametrize('degrees, tolerance', [(12, 1.0), (9, 6.0), (6, 14.0)])
def test_the_known_affine_is_found(degrees, tolerance):
  # Oracle: the head was made by TO_SCAN, which has scales and shears.
  image, labels, affine = head()
  mask = brainmask.from_labels(labels, spacing(affine))
  found, correlation = align.register(image, mask, affine, degrees)
  assert worst(found, TO_SCAN) < tolerance
  assert correlation > 0.93
  scales = np.linalg.svd(found[:3, :3], compute_uv=False)
  if degrees == 6:
    np.testing.assert_allclose(scales, 1, atol=1e-6)


def test_unequal_intensities_do_not_matter():
  image, labels, affine = head()
  mask = brainmask.from_labels(labels, spacing(affine))
  found, _ = align.register(image, mask, affine)
  other, _ = align.register(7 * image, mask, affine)
  assert worst(found, other) < 0.05


def test_the_jacobian_is_the_derivative():
  # Oracle: central differences of the warped image, at voxels inside.
  rng = np.random.default_rng(0)
  from scipy import ndimage

  moving = ndimage.gaussian_filter(rng.random((24, 24, 24)), 3).astype(np.float32)
  moving *= 100
  before = np.diag([2.0, 2, 2, 1])
  before[:3, 3] = -23
  after = np.linalg.inv(before)
  parameters = rng.normal(0, 0.02, 12)

  def warped(p):
    return align.sample(moving, after @ affine_matrix.matrix(p) @ before, moving.shape)

  jacobian = align._jacobian(parameters, 12, warped(parameters), before)
  inner = (slice(6, -6),) * 3
  for k in range(12):
    step = np.zeros(12)
    step[k] = 0.5 if k < 3 else 0.02
    numeric = (warped(parameters + step) - warped(parameters - step)) / (2 * step[k])
    own = jacobian[:, k].reshape(moving.shape)[inner].ravel()
    assert np.corrcoef(own, numeric[inner].ravel())[0, 1] > 0.97
    assert 0.85 < own.std() / numeric[inner].std() < 1.15


def test_a_known_bias_field_is_found():
  image, labels, affine = head(spacing=3.0, shape=(76, 68, 64))
  mask = brainmask.from_labels(labels, spacing(affine))
  ramp = np.linspace(-0.35, 0.35, image.shape[0])[:, None, None]
  field = np.exp(np.broadcast_to(ramp, image.shape))
  flat = bias.estimate(image, mask, affine)
  found = bias.estimate((image * field).astype(np.float32), mask, affine)
  change = np.log(found / flat)[mask]
  true = np.log(field)[mask]
  assert np.corrcoef(change, true)[0, 1] > 0.9
  assert 0.6 < np.polyfit(true, change, 1)[0] < 1.2
  assert abs(np.log(found)[mask].mean()) < 0.05


def test_degrees_are_named():
  image, labels, affine = head()
  with pytest.raises(ValueError, match=r'degrees=7; allowed are \(6, 9, 12\)'):
    align.register(image, labels > 0, affine, 7)


def test_another_template(tmp_path):
  # The MNI152 moved, in other units, at 2 mm and with its first axis to the left.
  volume, affine = align.template()
  moved = affine_matrix.matrix(
    np.array([4.0, -3, 6, 0, 0, 0, 0.05, 0.05, 0.05, 0, 0, 0])
  )
  coarse = volume[::2, ::2, ::2][::-1] * 700
  flipped = affine @ np.diag([-2.0, 2, 2, 1])
  flipped[:3, 3] = nib.affines.apply_affine(affine, [2 * (coarse.shape[0] - 1), 0, 0])
  path = str(tmp_path / 'atlas.nii')
  nib.save(nib.Nifti1Image(coarse.astype(np.float32), moved @ flipped), path)
  image, labels, affine = head()
  mask = brainmask.from_labels(labels, spacing(affine))
  found, correlation = align.register(image, mask, affine, name=path)
  assert worst(found @ moved, TO_SCAN) < 1.5 and correlation > 0.9
  (shape, grid), (own, _) = (
    align.template_grid((2.0,) * 3, n) for n in (path, 'mni152')
  )
  np.testing.assert_allclose(np.array(shape) / own, np.exp(0.05), atol=0.03)
  assert nib.aff2axcodes(grid) == ('R', 'A', 'S')
  with pytest.raises(BadScan, match='nowhere.nii is not a file'):
    align.template('nowhere.nii')
