"""Functions that read, check and copy the geometry of NIfTI and Analyze headers."""

import nibabel as nib
import numpy as np

from uad_jax.data.preprocessing.bad_scan import BadScan

VOXEL_MM = (0.05, 20.0)
"""Smallest and largest voxel size in mm along an axis."""

LARGEST_FIELD = 1000.0
"""Largest field of view in mm along an axis."""

FARTHEST = 1e5
"""Largest distance in mm of the first voxel from the origin."""

FLATTEST = 0.05
"""Smallest volume of a voxel, relative to that of a box with edges of equal length."""

UNITS = {1: ('metre', 1e3), 2: ('mm', 1.0), 3: ('micron', 1e-3)}
"""Name of a unit of length and its size in mm, by its code in `xyzt_units`."""

GEOMETRY = (
  'qform_code', 'sform_code', 'quatern_b', 'quatern_c', 'quatern_d', 'qoffset_x',
  'qoffset_y', 'qoffset_z', 'srow_x', 'srow_y', 'srow_z', 'xyzt_units', 'dim_info',
)  # fmt: skip
"""Fields of a NIfTI header that say where the voxels lie, beside `pixdim`."""


def affine_in_mm(image: nib.spatialimages.SpatialImage, name: str) -> np.ndarray:
  """Returns the affine of an image in mm, whatever unit its header states.

  Args:
    image: Image with three axes or more.
    name: Name of the image, for messages.

  Returns:
    4x4 from voxel to mm, float64.

  Raises:
    BadScan: The affine cannot be inverted, or voxel size, field of view or place are
      not those of a head.
  """
  shape = image.shape[:3]
  unit, scale = unit_of(image.header)
  affine = image.header.get_best_affine() if image.affine is None else image.affine
  affine = np.asarray(affine, np.float64)
  if not np.isfinite(affine).all():
    raise _singular(affine, name)
  if scale != 1:
    affine = np.diag([scale] * 3 + [1.0]) @ affine
  with np.errstate(over='ignore'):
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    volume = abs(np.linalg.det(affine[:3, :3]))
  if not sizes.all():
    raise _singular(affine, name)
  if sizes.min() < VOXEL_MM[0] or sizes.max() > VOXEL_MM[1]:
    raise BadScan(
      f'{name} has voxels of {_times(sizes)} mm and {unit} as the unit of its header; '
      f'allowed are {VOXEL_MM[0]} to {VOXEL_MM[1]:g} mm along each axis, so that the '
      'units may be wrong'
    )
  if volume < FLATTEST * sizes.prod():
    raise _singular(affine, name)
  if (shape * sizes).max() > LARGEST_FIELD:
    raise BadScan(
      f'{name} covers {_times(shape * sizes)} mm and has {unit} as the unit of its '
      f'header; allowed are up to {LARGEST_FIELD:g} mm, so that the units may be wrong'
    )
  if np.abs(affine[:3, 3]).max() > FARTHEST:
    raise BadScan(
      f'{name} begins {np.abs(affine[:3, 3]).max():.3g} mm from the origin; allowed '
      f'are up to {FARTHEST:g} mm'
    )
  return affine


def unit_of(header) -> tuple[str, float]:
  """Returns the name of a header's unit of length and its size in mm.

  An unknown unit counts as mm.
  """
  if not isinstance(header, nib.Nifti1Header):
    return 'mm', 1.0
  return UNITS.get(int(header['xyzt_units']) & 7, ('an unknown unit', 1.0))


def of_scan(image: nib.spatialimages.SpatialImage) -> nib.analyze.AnalyzeHeader | None:
  """Returns a copy of the header of a NIfTI image, or of an Analyze image.

  Returns None for another format, and for an Analyze image whose affine is not that of
  its header but of a .mat file of SPM.
  """
  if not isinstance(image, nib.analyze.AnalyzeImage):
    return None
  if not isinstance(image, nib.Nifti1Pair) and image.affine is not None:
    if not np.allclose(image.affine, image.header.get_best_affine()):
      return None
  return image.header.copy()


def doubt(header: nib.analyze.AnalyzeHeader | None, shape, name: str) -> str:
  """Describes why programs may disagree on the position or orientation of a scan.

  A NIfTI header may place the voxels by an affine (sform), a rigid map with voxel sizes
  (qform), both or neither. nibabel and FSL use the sform if its code is above 0, else
  the qform. ITK needs axes at right angles and may use the qform. An Analyze header has
  neither, so that left and right are a convention of the program.

  Args:
    header: Header of the scan, see `of_scan`.
    shape: Shape [3] of the scan.
    name: Name of the scan, for the message.

  Returns:
    One sentence for a warning; '' if the header is not ambiguous.
  """
  if header is None:
    return ''
  nifti, codes = isinstance(header, nib.Nifti1Header), (0, 0)
  if nifti:
    codes = int(header['sform_code']), int(header['qform_code'])
  if codes == (0, 0):
    reason = 'sform and qform have code 0' if nifti else 'Analyze has no field for it'
    return (
      f'{name} does not state its orientation ({reason}); its axes are taken to run '
      'left, anterior and superior, as nibabel does, and may be mirrored in other '
      'programs'
    )
  sform, qform = header.get_sform(), _qform(header)
  scale = unit_of(header)[1]
  limit = 0.5 * np.linalg.norm(header.get_best_affine()[:3, :3], axis=0).min()
  if codes[0] > 0:
    sheared = corners_apart(sform, _straightened(sform, shape), shape) > limit
    if codes[1] > 0 and qform is not None:
      apart = corners_apart(sform, qform, shape)
      if apart > limit:
        return (
          f'{name} has a{" sheared" if sheared else "n"} sform and a qform that lie up '
          f'to {scale * apart:.1f} mm apart; the sform is used, as by nibabel and FSL, '
          'and programs made with ITK may use the qform'
        )
    elif sheared:
      return (
        f'{name} has a sheared sform and no qform; the sform is used, as by nibabel '
        'and FSL, and programs made with ITK may refuse the scan or its results'
      )
  return ''


def corners_apart(affine: np.ndarray, other: np.ndarray, shape) -> float:
  """Computes the largest distance between the corners of a grid under two affines.

  Args:
    affine: First affine, 4x4 from voxel to mm.
    other: Second affine, 4x4 from voxel to mm.
    shape: Shape [3] of the grid.

  Returns:
    Largest difference along x, y or z, over the centres of the corner voxels, in mm.
  """
  corners = np.stack(np.meshgrid(*[(0, n - 1) for n in shape]), -1).reshape(-1, 3)
  places = nib.affines.apply_affine(affine, corners)
  return np.abs(places - nib.affines.apply_affine(other, corners)).max()


def image_like(
  volume: np.ndarray,
  header: nib.analyze.AnalyzeHeader | None,
  affine: np.ndarray,
  description: str = '',
) -> nib.Nifti1Image:
  """Makes a NIfTI image from a volume and the geometry in the header of its scan.

  Codes, qform, sform, voxel size and units are those of the scan, so that every program
  places the volume where it places the scan. Type of the values, scaling, display range
  and all other fields are those of the volume; extensions of the header are left out.
  Of an Analyze scan both codes are 0, unless its header has an origin, as of SPM, which
  an sform alone can hold.

  Args:
    volume: [X, Y, Z] on the grid of the scan.
    header: Header of the scan, see `of_scan`.
    affine: 4x4 from voxel to mm, used without a NIfTI header.
    description: Text of up to 79 characters for the field 'descrip'.
  """
  if not isinstance(header, nib.Nifti1Header):
    image = nib.Nifti1Image(volume, affine)
    image.header['descrip'] = description
    if header is not None and np.allclose(affine, image.header.get_base_affine()):
      image.header['sform_code'] = 0
    return image
  two = isinstance(header, nib.Nifti2Header)
  new = (nib.Nifti2Header if two else nib.Nifti1Header)()
  new.set_data_dtype(volume.dtype)
  new.set_data_shape(volume.shape)
  new['pixdim'][:4] = header['pixdim'][:4]
  new['descrip'] = description
  for field in GEOMETRY:
    new[field] = header[field]
  # nibabel keeps the fields of a header that has this affine already.
  kind = nib.Nifti2Image if two else nib.Nifti1Image
  return kind(volume, new.get_best_affine(), new)


def _qform(header: nib.Nifti1Header) -> np.ndarray | None:
  """The qform as 4x4, or None if its quaternion is not one of a rotation."""
  try:
    with np.errstate(all='ignore'):
      qform = header.get_qform()
  except (nib.spatialimages.HeaderDataError, ValueError):
    return None
  return qform if np.isfinite(qform).all() else None


def _straightened(affine: np.ndarray, shape) -> np.ndarray:
  """The nearest affine with axes at right angles, the same centre and voxel size."""
  sizes = np.linalg.norm(affine[:3, :3], axis=0)
  u, _, v = np.linalg.svd(affine[:3, :3] / sizes)
  result = np.eye(4)
  result[:3, :3] = u @ v * sizes
  centre = (np.asarray(shape) - 1) / 2
  result[:3, 3] = affine[:3, 3] + (affine[:3, :3] - result[:3, :3]) @ centre
  return result


def _singular(affine: np.ndarray, name: str) -> BadScan:
  return BadScan(
    f'{name} has a singular affine {affine[:3].round(3).tolist()}; allowed is one '
    'that can be inverted'
  )


def _times(sizes) -> str:
  return ' x '.join(f'{size:.3g}' for size in sizes)
