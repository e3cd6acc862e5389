"""Writes the files of miniature cohorts: scans, masks and tables of subjects."""

import csv
import functools

import nibabel as nib
import numpy as np

from tests.data.heads import head, write


@functools.cache
def brain():
  """A skull-stripped brain [X, Y, Z], its affine, a lesion mask and the labels."""
  image, labels, affine = head(spacing=8.0, shape=(30, 26, 25))
  lesion = np.zeros(image.shape, np.uint8)
  inside = np.argwhere(labels > 0)
  centre = inside[np.argmin(np.abs(inside - inside.mean(0)).sum(1))] + (0, 3, 3)
  lesion[tuple(slice(v - 1, v + 2) for v in centre)] = 1
  return np.where(labels > 0, image, 0).astype(np.float32), affine, lesion, labels


def scan(path, seed=0, dtype=np.float32, ripple=False, affine=None):
  """Writes a scan; with `ripple` the background has tiny negative values."""
  image, brain_affine, _, _ = brain()
  random = np.random.default_rng(seed)
  image = image * random.uniform(0.8, 1.2) + 20 * random.normal(size=image.shape) * (
    image > 0
  )
  image = np.maximum(image, 0)
  if ripple:
    image = np.where(image > 0, image, -1e-3 * random.random(image.shape))
  return write(path, image.astype(dtype), brain_affine if affine is None else affine)


def lesion(path, value=1, other=None, affine=None):
  """Writes a lesion mask of `value`; its first voxel gets the number `other`."""
  _, brain_affine, mask, _ = brain()
  labels = (mask * value).astype(np.uint8)
  if other is not None:
    x, y, z = np.argwhere(mask)[0]
    labels[x, y, z] = other
  return write(path, labels, brain_affine if affine is None else affine)


def brain_mask(path):
  """Writes the brain mask."""
  _, affine, _, labels = brain()
  return write(path, (labels > 0).astype(np.uint8), affine)


def analyze(path, data):
  """Writes an Analyze pair with a fourth axis of size one, as in OASIS-1."""
  path.parent.mkdir(parents=True, exist_ok=True)
  image = nib.Spm2AnalyzeImage(data[..., None], None)
  image.header.set_zooms((8.0, 8.0, 8.0, 1.0))
  nib.save(image, path)


def table(path, columns, *lines, delimiter=','):
  """Writes a table with a row of column names."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with path.open('w', newline='') as file:
    csv.writer(file, delimiter=delimiter).writerows([columns, *lines])
