"""Small NIfTI files with known faults, and headers to make them from."""

import gzip

import nibabel as nib
import numpy as np

SHAPE = (6, 7, 8)


def smooth_volume(shape=SHAPE, seed=0):
  """A blob with noise, 0 to 1000, int16."""
  at = [(np.arange(n) - (n - 1) / 2) / n for n in shape]
  x, y, z = np.meshgrid(*at, indexing='ij')
  noise = np.random.default_rng(seed).random(shape)
  return (900 * np.exp(-6 * (x**2 + y**2 + z**2)) + 100 * noise).astype(np.int16)


def image(affine=None, qform=None, sform=None, unit='mm', kind=nib.Nifti1Image):
  """An image whose qform and sform are pairs (4x4, code); None leaves code 0."""
  new = kind(smooth_volume(), affine)
  new.header.set_xyzt_units(unit)
  if qform is not None:
    new.header.set_qform(*qform)
  if sform is not None:
    new.header.set_sform(*sform)
  return kind(new.dataobj, new.header.get_best_affine(), new.header)


def save(made, path):
  """Saves an image; returns its path."""
  nib.save(made, path)
  return path


def raw_bytes(made):
  """The bytes of an image's .nii file."""
  return made.to_bytes()


def with_fields(data, kind=nib.Nifti1Header, **fields):
  """The bytes of a .nii file whose header got other values."""
  header = kind(data[: kind.sizeof_hdr], check=False)
  for name, value in fields.items():
    header[name] = value
  return header.binaryblock + data[kind.sizeof_hdr :]


def compressed(data):
  return gzip.compress(data, 1, mtime=0)
