"""Heads of the real scans, with their brain masks."""

import nibabel as nib
import numpy as np

from uad_jax.data.preprocessing import brainmask, grid
from uad_jax.data.preprocessing.scan import ScanState

SUBJECTS = ('IXI267', 'IXI484')


def head_of(real_data, subject):
  """An IXI head in RAS with its brain mask and affine."""
  folder = real_data / 'ixi_t1_2mm'
  scan = next(folder.glob(f'sub-{subject}/anat/*_T1w.nii.gz'))
  labels = next(folder.glob(f'derivatives/dlmuse/sub-{subject}/anat/*_dseg.nii.gz'))
  image = nib.as_closest_canonical(nib.load(scan))
  labels = nib.as_closest_canonical(nib.load(labels)).get_fdata() > 0
  mask = brainmask.closed(labels, grid.spacing(image.affine), 4.0)
  return image.get_fdata(dtype=np.float32), mask, image.affine


def state(image, affine):
  return ScanState(
    image, None, None, None, None, affine, np.eye(4), None, (), {}, 'part.nii.gz'
  )
