import nibabel as nib
import numpy as np
import pytest

from tests.data.heads import head
from uad_jax.data.preprocessing import brainmask, grid, preprocess


def test_otsu_finds_most_of_the_brain_and_warns(files):
  image, labels, affine = head(spacing=3.0, shape=(76, 68, 64))
  with pytest.warns(UserWarning, match='rough one by Otsu'):
    mask = brainmask.by_otsu(image, grid.spacing(affine))
  true = brainmask.from_labels(labels, grid.spacing(affine))
  assert 2 * (mask & true).sum() / (mask.sum() + true.sum()) > 0.85


def test_a_stripped_brain_needs_no_otsu():
  image, labels, affine = head()
  prepared = preprocess.prepare_scan(
    nib.Nifti1Image(np.where(labels > 0, image + 1, 0), affine), [('brain_mask', {})]
  )
  assert prepared.chain[-1]['by'] == 'stripped'
  true = brainmask.from_labels(labels, grid.spacing(affine))
  both = (prepared.mask[..., 0] > 0) & true
  assert 2 * both.sum() / (prepared.mask.sum() + true.sum()) > 0.98
