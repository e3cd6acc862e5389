"""Functions that align a T1 brain to a template by an affine map, in numpy.

The affine minimises the squared differences of the intensities. A template is named by
`MNI152`, which nilearn ships, or by the path of another skull-stripped T1 volume, such
as SRI24.
"""

import contextlib
import functools
import importlib.util
import pathlib

import nibabel as nib
import numpy as np

from uad_jax.data.preprocessing import nifti
from uad_jax.data.preprocessing.brain_sampling import sample_brain
from uad_jax.data.preprocessing.grid import bounding_box, respaced, sample
from uad_jax.ops.affine_matrix import matrix

LEVELS = (8, 4)
"""Resolutions of the registration in mm, coarse to fine."""

DEGREES = (6, 9, 12)
"""Degrees of freedom: 6 rigid, 9 with a scale along each axis, 12 with shears too."""

_NOWHERE = (np.full((4, 4), np.nan), np.nan)

MNI152 = 'mni152'
"""Name of the default template, ICBM 2009a symmetric T1."""


@functools.cache
def template(name: str = MNI152) -> tuple[np.ndarray, np.ndarray]:
  """Loads a T1 template of the brain, without skull, and its affine.

  Args:
    name: `MNI152` (ICBM 2009a symmetric, 1 mm) or the path of a NIfTI file, which is
      divided by the 99.9th percentile of its positive values.

  Returns:
    The volume [X, Y, Z] float32 in [0, 1] with RAS axes, and its 4x4 affine from voxel
    to mm.
  """
  if name != MNI152:
    volume = nifti.read_image(name)
    nifti.check_values(volume)
    image = nib.as_closest_canonical(nib.Nifti1Image(volume.data, volume.affine))
    values = np.asarray(image.dataobj, np.float32)
    return np.clip(values / np.percentile(values[values > 0], 99.9), 0, 1), image.affine
  # nilearn.datasets is located and not imported: its import takes seconds.
  home = pathlib.Path(importlib.util.find_spec('nilearn').submodule_search_locations[0])
  image = nib.load(next((home / 'datasets/data').glob('mni_icbm152_t1_tal*.nii.gz')))
  return np.asarray(image.dataobj, np.float32) / 255, image.affine


@functools.cache
def template_box(name: str = MNI152) -> tuple[np.ndarray, np.ndarray]:
  """Computes the bounding box of the template's brain, in mm.

  Args:
    name: The template, as in `template`.

  Returns:
    The lowest and the highest corner of the box, [3] each.
  """
  volume, affine = template(name)
  first, end = bounding_box(volume > 0.1)
  return tuple(nib.affines.apply_affine(affine, v) for v in (first - 0.5, end - 0.5))


def template_grid(
  spacing, name: str = MNI152
) -> tuple[tuple[int, int, int], np.ndarray]:
  """Computes a voxel grid over the bounding box of the template's brain, with RAS axes.

  Args:
    spacing: Voxel sizes in mm along the three axes.
    name: The template, as in `template`.

  Returns:
    Shape of the grid, and its 4x4 affine from voxel to mm.
  """
  low, high = template_box(name)
  affine = np.diag([1.0, 1, 1, 1])
  affine[:3, 3] = low + 0.5
  return respaced(np.rint(high - low).astype(int), affine, spacing)


@functools.cache
def _template_at(level: int, name: str = MNI152) -> tuple[np.ndarray, np.ndarray]:
  """The template averaged over blocks of `level` mm, with a margin of 2 blocks."""
  volume, affine = _at_millimetre(name)
  pad = [(2 * level, 2 * level + -n % level) for n in volume.shape]
  volume = np.pad(volume, pad)
  blocks = [m for n in volume.shape for m in (n // level, level)]
  coarse = affine.copy()
  coarse[:3, :3] *= level
  coarse[:3, 3] += affine[:3, :3] @ np.full(3, (level - 1) / 2 - 2 * level)
  return volume.reshape(blocks).mean((1, 3, 5)), coarse


def _at_millimetre(name: str) -> tuple[np.ndarray, np.ndarray]:
  """The template resampled to voxels of 1 mm, if it has others, and its affine."""
  volume, affine = template(name)
  if np.allclose(np.abs(affine[:3, :3]), np.eye(3)):
    return volume, affine
  shape, fine = respaced(volume.shape, affine, (1.0, 1.0, 1.0))
  return sample(volume, np.linalg.inv(affine) @ fine, shape, antialias=True), fine


def register(
  image: np.ndarray,
  mask: np.ndarray,
  affine: np.ndarray,
  degrees: int = 12,
  name: str = MNI152,
  scan: str = 'the scan',
) -> tuple[np.ndarray, float]:
  """Estimates the affine map that aligns a T1 scan with a template.

  The map M takes template mm to scan mm. The function minimises sum_x (I(M x) - a T(x)
  - b)^2 over the affine M and the intensity scale a and offset b, for the scan I and
  the template T; with the best a and b the sum is n Var(I) (1 - r^2), where r is the
  correlation. The optimiser is Levenberg-Marquardt at 8 and then 4 mm, started at the
  brain's centre and extent. I and T are zero outside the brain, so that the outline of
  the brain counts too.

  Args:
    image: T1 scan [X, Y, Z].
    mask: Brain mask [X, Y, Z], bool.
    affine: 4x4 from voxel to scan mm.
    degrees: Degrees of freedom, one of `DEGREES`.
    name: Name of the template, as in `template`.
    scan: Name of the scan, for messages.

  Returns:
    The 4x4 affine M, and the correlation of I(M x) and T(x) at 4 mm.

  Raises:
    ValueError: `degrees` is not one of `DEGREES`.
    BadScan: The brain is constant or dark, or the affine does not converge, for example
      because the brain has a few slices only.
  """
  if degrees not in DEGREES:
    raise ValueError(f'align has degrees={degrees}; allowed are {DEGREES}')
  to_scan, correlation = _NOWHERE
  # Parameters that diverge overflow before they are refused.
  with np.errstate(all='ignore'), contextlib.suppress(np.linalg.LinAlgError):
    if mask.any():
      to_scan, correlation = _register(image, mask, affine, degrees, name)
  if not (np.isfinite(to_scan).all() and np.isfinite(correlation)):
    raise nifti.BadScan(
      f'{scan} cannot be aligned with the template, with {np.count_nonzero(mask)} of '
      f'{image.shape} voxels in the brain; allowed is a whole head or brain'
    )
  return to_scan, correlation


def _register(image, mask, affine, degrees, name):
  """The affine and the correlation of `register`; NaN if they are not defined."""
  head = np.where(mask, image, 0).astype(np.float32, copy=False)
  head /= np.percentile(head[mask], 95)
  start, from_centre, to_centre = _initial(mask, affine, name)
  if not np.isfinite(start).all():
    return _NOWHERE
  if degrees == 6:
    start[6:9] = 0

  parameters = start
  for level in LEVELS:
    fixed, fixed_affine = _template_at(level, name)
    shape, moving_affine = respaced(head.shape, affine, (level,) * 3)
    to_head = np.linalg.inv(affine) @ moving_affine
    moving = sample_brain(head, mask, to_head, shape)
    before, after = from_centre @ fixed_affine, np.linalg.inv(moving_affine) @ to_centre
    parameters, correlation = _descend(
      parameters, degrees, fixed, moving, before, after
    )
  return to_centre @ matrix(parameters) @ from_centre, correlation


def _initial(mask, affine, name):
  """Start of the registration: matches the brains' centres and extents.

  Returns the 12 parameters of `affine_matrix.matrix`, and 4x4 translations (mm) of the
  template's centre to the origin and of the origin to the scan's centre.
  """
  volume, template_affine = _template_at(4, name)
  fixed = nib.affines.apply_affine(template_affine, np.argwhere(volume > 0.2))
  moving = nib.affines.apply_affine(affine, np.argwhere(mask))
  from_centre, to_centre = np.eye(4), np.eye(4)
  from_centre[:3, 3] = -fixed.mean(0)
  to_centre[:3, 3] = moving.mean(0)
  parameters = np.zeros(12)
  parameters[6:9] = np.log(moving.std(0) / fixed.std(0))
  return parameters, from_centre, to_centre


def _descend(parameters, degrees, fixed, moving, before, after, steps=30, stop=1e-4):
  """Levenberg-Marquardt at one resolution; returns parameters and correlation.

  `before` maps voxels of `fixed` (template) to mm, `after` mm to voxels of `moving`.
  """

  def warped(parameters):
    return sample(moving, after @ matrix(parameters) @ before, fixed.shape)

  def residual(image):
    design = np.stack([fixed.ravel(), np.ones(fixed.size, np.float32)], -1)
    solution = np.linalg.lstsq(design, image.ravel(), rcond=None)[0]
    return image.ravel() - design @ solution

  scale = np.repeat([10.0, 0.1, 0.1, 0.1], 3)[:degrees]  # mm, rad, log, 1
  image = warped(parameters)
  error, damping = residual(image), 1e-3
  for _ in range(steps):
    jacobian = _jacobian(parameters, degrees, image, before) * scale
    # The intensity scale and offset are solved for jointly with the affine.
    jacobian = np.concatenate(
      [jacobian, -fixed.reshape(-1, 1), -np.ones((fixed.size, 1))], 1, dtype=np.float32
    )
    normal, slope = jacobian.T @ jacobian, jacobian.T @ error
    for _ in range(8):
      damped = normal + damping * np.diag(np.diag(normal))
      move = -np.linalg.solve(damped, slope)[:degrees] * scale
      trial = parameters.copy()
      trial[:degrees] += move
      new_image = warped(trial)
      new_error = residual(new_image)
      if new_error @ new_error < error @ error:
        break
      damping *= 10
    else:
      break
    gain = 1 - (new_error @ new_error) / (error @ error)
    parameters, image, error, damping = trial, new_image, new_error, damping / 10
    if gain < stop:
      break
  return parameters, float(np.corrcoef(fixed.ravel(), image.ravel())[0, 1])


def _jacobian(parameters, degrees, image, before):
  """Derivative of the warped image I(M before v) by each parameter, [voxels, degrees].

  dI/dp = g . (M before)^-1 (dM/dp) before v, with g the gradient of the warped image
  by its voxel coordinates v.
  """
  gradient = np.stack(np.gradient(image), -1).reshape(-1, 3)
  voxels = np.indices(image.shape, np.float32).reshape(3, -1)
  voxels = np.concatenate([voxels, np.ones_like(voxels[:1])])
  inverse = np.linalg.inv(matrix(parameters) @ before)
  columns = []
  for k in range(degrees):
    step = np.zeros(12)
    step[k] = 1e-5
    change = (matrix(parameters + step) - matrix(parameters - step)) / 2e-5
    motion = (inverse @ change @ before)[:3].astype(np.float32) @ voxels
    columns.append(np.einsum('nd,dn->n', gradient, motion))
  return np.stack(columns, -1)
