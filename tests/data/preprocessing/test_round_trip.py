"""Volumes that are preprocessed and restored come back to the scan's native grid."""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from tests.data.heads import head
from uad_jax.data.preprocessing import preprocess
from uad_jax.data.preprocessing.tissue_classes import VENTRICLE

SHAPE = (48, 56, 44)


def world(prepared, shape):
  """Scan mm of each voxel of the prepared grid."""
  voxels = np.moveaxis(np.indices(shape), 0, -1)
  return nib.affines.apply_affine(prepared.to_scan @ prepared.affine, voxels)


def smooth(mm):
  x, y, z = np.moveaxis(mm, -1, 0)
  return np.sin(x / 40) + np.cos(y / 50) + np.sin((x + z) / 60)


@pytest.mark.parametrize('align', [True, False])
def test_a_smooth_volume_comes_back(files, align):
  # Oracle: the function itself at the scan's own voxels; h^2/8 |f''| < 0.01 at 4 mm.
  prepared = preprocess.prepare_scan(
    files['path'], preprocess.job(SHAPE, 4.0, align), labels=files['labels']
  )
  assert prepared.image.shape == (*SHAPE, 1)
  back = preprocess.restore(smooth(world(prepared, SHAPE)), prepared, fill=np.nan)
  native = nib.load(files['path'])
  assert back.shape == native.shape
  voxels = np.moveaxis(np.indices(native.shape), 0, -1)
  true = smooth(nib.affines.apply_affine(native.affine, voxels))
  labels = np.asarray(nib.load(files['labels']).dataobj)
  seen = np.isfinite(back)
  assert seen[labels > 0].mean() > 0.99
  assert np.abs(back - true)[seen].max() < 0.01


@pytest.mark.parametrize('align', [True, False])
def test_a_landmark_comes_back_to_its_voxel(files, align):
  native = nib.load(files['path'])
  landmark = np.array([27, 24, 21])
  at = np.indices(native.shape) - landmark[:, None, None, None]
  blob = np.exp(-0.5 * (at**2).sum(0) / 2**2).astype(np.float32)
  steps = preprocess.job(SHAPE, 4.0, align)
  lesion = nib.Nifti1Image((blob > 0.5).astype(np.uint8), native.affine)
  prepared = preprocess.prepare_scan(
    files['path'], steps, labels=files['labels'], lesion=lesion
  )
  assert prepared.lesion.sum() > 5
  back = preprocess.restore(prepared.lesion[..., 0], prepared)
  found = ndimage.center_of_mass(back)
  assert np.abs(found - landmark).max() < 0.5


def test_reorient_is_nibabels(files):
  prepared = preprocess.prepare_scan(files['path'], [('reorient', {})])
  oracle = nib.as_closest_canonical(nib.load(files['path']))
  np.testing.assert_allclose(prepared.affine, oracle.affine, atol=1e-9)
  np.testing.assert_allclose(prepared.image[..., 0], oracle.get_fdata(), rtol=1e-6)
  back = preprocess.restore(prepared.image, prepared)[..., 0]
  np.testing.assert_allclose(back, nib.load(files['path']).get_fdata(), atol=0.01)


@pytest.mark.filterwarnings('ignore:.*with the template')
@pytest.mark.parametrize('align', [True, False])
@pytest.mark.parametrize('axis', [0, 1, 2])
def test_a_map_of_voxel_indices_goes_through_the_chain_and_back(align, axis):
  # The scan is the index of its own voxels, on a tilted grid with axes PSR.
  _, labels, affine = head()
  indices = np.indices(labels.shape)[axis].astype(np.float32)
  steps = [
    ('check', {}),
    ('reorient', {}),
    ('brain_mask', {'how': 'given'}),
    *([('align', {})] if align else []),
    ('crop', {'margin': 12.0}),
    ('resample', {'spacing': 3.0, 'antialias': False}),
    ('pad_or_crop', {'shape': (80, 96, 80)}),
  ]
  mask = nib.Nifti1Image((labels > 0).astype(np.uint8), affine)
  prepared = preprocess.prepare_scan(nib.Nifti1Image(indices, affine), steps, mask)
  back = preprocess.restore(prepared.image[..., 0], prepared, fill=np.nan)
  inside = ndimage.binary_erosion(labels > 0, iterations=2) & np.isfinite(back)
  assert inside.mean() > 0.9 * ndimage.binary_erosion(labels > 0, iterations=2).mean()
  assert np.abs(back - indices)[inside].max() < 0.5


@pytest.mark.realdata
def test_real_scans_line_up(real_data):
  folder = real_data / 'ixi_t1_2mm'
  steps = preprocess.IXI_3MM
  images = []
  for subject in ('sub-IXI014', 'sub-IXI034'):
    labels = next((folder / 'derivatives/dlmuse' / subject).rglob('*_dseg.nii.gz'))
    scan = next((folder / subject).rglob('*_T1w.nii.gz'))
    prepared = preprocess.prepare_scan(scan, steps, labels=labels)
    images.append(prepared)
    native = np.asarray(nib.load(labels).dataobj)
    ventricles = np.isin(native, preprocess.DLMUSE['ventricle'])
    back = preprocess.restore(prepared.labels[..., 0], prepared, order=0) == VENTRICLE
    assert 2 * (back & ventricles).sum() / (back.sum() + ventricles.sum()) > 0.7
  a, b = (p.image[..., 0] for p in images)
  assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.9


def test_interpolates_once_from_the_native_grid(files):
  # Oracle: scipy.ndimage.map_coordinates on the file's own array.
  steps = [
    ('reorient', {}),
    ('brain_mask', {}),
    ('align', {}),
    ('crop', {}),
    ('resample', {'spacing': 3.0, 'antialias': False}),
    ('pad_or_crop', {'shape': (64, 64)}),
  ]
  prepared = preprocess.prepare_scan(files['path'], steps, labels=files['labels'])
  native = nib.load(files['path'])
  shape = prepared.image.shape[:3]
  voxels = nib.affines.apply_affine(
    np.linalg.inv(native.affine), world(prepared, shape)
  )
  oracle = ndimage.map_coordinates(
    native.get_fdata(), np.moveaxis(voxels, -1, 0), order=1
  )
  inside = prepared.mask[..., 0] > 0
  np.testing.assert_allclose(prepared.image[..., 0][inside], oracle[inside], atol=0.5)
  assert inside.sum() > 20_000
