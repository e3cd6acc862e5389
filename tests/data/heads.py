"""Small heads made from the MNI152 template: known anatomy at a known place."""

import nibabel as nib
import numpy as np

from uad_jax.data.preprocessing import align
from uad_jax.data.preprocessing.grid import sample
from uad_jax.ops import affine_matrix

PSR = np.array([[0, 0, 1], [-1, 0, 0], [0, 1, 0]], float)
"""Axes to the back, up, to the right: those of the IXI scans."""

TO_SCAN = affine_matrix.matrix(
  np.array([5, -8, 4, 0.12, -0.06, 0.08, -0.08, 0.05, -0.03, 0.04, -0.02, 0.03])
)
"""Template mm to scan mm of `head`."""

TILT = affine_matrix.matrix(np.array([3, 2, -4, 0.1, 0.15, -0.12, 0, 0, 0, 0, 0, 0]))


def grid(spacing=4.0, shape=(60, 52, 50)):
  """A tilted grid with axes PSR about the origin; shape and affine."""
  affine = np.eye(4)
  affine[:3, :3] = PSR * spacing
  affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2) + (0, -18, 8)
  return shape, TILT @ affine


def head(spacing=4.0, shape=(60, 52, 50), to_scan=TO_SCAN, seed=0):
  """T1 head [X, Y, Z] with a scalp, its labels and its affine.

  Labels: 1 brain, 51 ventricle (the dark middle of the template).
  """
  shape, affine = grid(spacing, shape)
  volume, template_affine = align.template()
  world = np.linalg.inv(to_scan) @ affine
  brain = sample(volume, np.linalg.inv(template_affine) @ world, shape, antialias=True)
  voxels = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing='ij'), -1)
  x, y, z = np.moveaxis(nib.affines.apply_affine(world, voxels), -1, 0)
  labels = (brain > 0.15).astype(np.int32)
  middle = (np.abs(x) < 22) & (y > -45) & (y < 30) & (z > -5) & (z < 28)
  labels[middle & (brain < 0.45)] = 51
  radius = np.sqrt((x / 82) ** 2 + ((y + 18) / 100) ** 2 + ((z - 5) / 86) ** 2)
  scalp = 0.8 * ((radius > 1.02) & (radius < 1.12))
  noise = np.random.default_rng(seed).normal(0, 0.01, shape)
  image = 1000 * np.maximum(np.maximum(brain, scalp) + noise, 0)
  return image.astype(np.float32), labels, affine


def write(path, data, affine, dtype=None):
  """Saves a NIfTI file, its folder included; integers get a slope."""
  path.parent.mkdir(parents=True, exist_ok=True)
  image = nib.Nifti1Image(data, affine)
  image.header.set_data_dtype(dtype or data.dtype)
  nib.save(image, path)
  return str(path)


def tree(root, subjects, table=None):
  """A BIDS folder of heads with labels in derivatives/dlmuse; int16, slope."""
  for seed, subject in enumerate(subjects):
    image, labels, affine = head(seed=seed)
    anat = root / subject / 'anat'
    suffix = '.nii' if seed % 2 else '.nii.gz'
    write(anat / f'{subject}_T1w{suffix}', image, affine, np.int16)
    place = root / 'derivatives/dlmuse' / subject / 'anat'
    write(place / f'{subject}_dseg.nii.gz', labels.astype(np.uint8), affine)
  if table:
    (root / 'participants.tsv').write_text(table)
  return root


def worst(a, b):
  """Largest distance in mm between two affines over the template's brain."""
  volume, affine = align._template_at(8)
  points = nib.affines.apply_affine(affine, np.argwhere(volume > 0.2))
  difference = nib.affines.apply_affine(a, points) - nib.affines.apply_affine(b, points)
  return np.linalg.norm(difference, axis=1).max()
