"""Affine alignment of a skull-stripped head to a template, MNI152 of nilearn or other.

A template is named by MNI152 or by the path of a stripped T1 volume, such as SRI24's.
"""

import functools
import importlib.util
import pathlib

import nibabel as nib
import numpy as np

from uad_jax.data.preprocessing import nifti
from uad_jax.data.preprocessing.grid import bounding_box, respaced, sample
from uad_jax.ops.affine_matrix import matrix

LEVELS = (8, 4)
"""Resolutions in mm, coarse to fine."""

DEGREES = (6, 9, 12)
"""Rigid; with a scale along each axis; with shears too."""


MNI152 = 'mni152'


@functools.cache
def template(name: str = MNI152) -> tuple[np.ndarray, np.ndarray]:
  """A template as float32 in [0, 1] with axes RAS, and its affine.

  MNI152 is ICBM 2009a, symmetric, 1 mm, stripped.
  """
  if name != MNI152:
    given = nifti.read_image(name)
    nifti.check_values(given)
    image = nib.as_closest_canonical(nib.Nifti1Image(given.data, given.affine))
    volume = np.asarray(image.dataobj, np.float32)
    return np.clip(volume / np.percentile(volume[volume > 0], 99.9), 0, 1), image.affine
  # Found, not imported: nilearn.datasets takes seconds and only the file is wanted.
  home = pathlib.Path(importlib.util.find_spec('nilearn').submodule_search_locations[0])
  image = nib.load(next((home / 'datasets/data').glob('mni_icbm152_t1_tal*.nii.gz')))
  return np.asarray(image.dataobj, np.float32) / 255, image.affine


@functools.cache
def template_box(name: str = MNI152) -> tuple[np.ndarray, np.ndarray]:
  """Corners in mm of the box about the template's brain."""
  volume, affine = template(name)
  first, end = bounding_box(volume > 0.1)
  return tuple(nib.affines.apply_affine(affine, v) for v in (first - 0.5, end - 0.5))


def template_grid(
  spacing, name: str = MNI152
) -> tuple[tuple[int, int, int], np.ndarray]:
  """Shape and affine of a grid of `spacing` mm over the template's brain, RAS axes."""
  low, high = template_box(name)
  affine = np.diag([1.0, 1, 1, 1])
  affine[:3, 3] = low + 0.5
  return respaced(np.rint(high - low).astype(int), affine, spacing)


@functools.cache
def _template_at(level: int, name: str = MNI152) -> tuple[np.ndarray, np.ndarray]:
  """The template on a grid of `level` mm, by block means, with a margin of 2 blocks."""
  volume, affine = _at_millimetre(name)
  pad = [(2 * level, 2 * level + -n % level) for n in volume.shape]
  volume = np.pad(volume, pad)
  blocks = [m for n in volume.shape for m in (n // level, level)]
  coarse = affine.copy()
  coarse[:3, :3] *= level
  coarse[:3, 3] += affine[:3, :3] @ np.full(3, (level - 1) / 2 - 2 * level)
  return volume.reshape(blocks).mean((1, 3, 5)), coarse


def _at_millimetre(name: str) -> tuple[np.ndarray, np.ndarray]:
  """The template with voxels of 1 mm."""
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
) -> tuple[np.ndarray, float]:
  """Finds the affine from template world (mm) to scan world (mm).

  Minimises sum (I(M x) - a T(x) - b)^2 over M, a, b, whose minimum is that of the
  normalised cross-correlation, by Levenberg-Marquardt at 8 and 4 mm; begins at the
  brain's centre and extent. T is zero outside its brain and so is I, so the outline
  counts.

  Args:
    image: [X, Y, Z].
    mask: Brain, [X, Y, Z].
    affine: Voxel to mm.
    degrees: 6, 9 or 12 free parameters.
    name: Of the template.

  Returns:
    The 4x4 matrix and the correlation reached.
  """
  if degrees not in DEGREES:
    raise ValueError(f'align has degrees={degrees}; allowed are {DEGREES}')
  head = np.where(mask, image, 0).astype(np.float32)
  head /= np.percentile(head[mask], 95)
  start, from_centre, to_centre = _initial(mask, affine, name)
  if degrees == 6:
    start[6:9] = 0

  parameters = start
  for level in LEVELS:
    fixed, fixed_affine = _template_at(level, name)
    shape, moving_affine = respaced(head.shape, affine, (level,) * 3)
    to_head = np.linalg.inv(affine) @ moving_affine
    moving = sample(head, to_head, shape, antialias=True)
    before, after = from_centre @ fixed_affine, np.linalg.inv(moving_affine) @ to_centre
    parameters, correlation = _descend(
      parameters, degrees, fixed, moving, before, after
    )
  return to_centre @ matrix(parameters) @ from_centre, correlation


def _initial(mask, affine, name):
  """Parameters that match centre and extent; matrices that move the centres to 0."""
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
  """Levenberg-Marquardt; `before` takes a fixed voxel to mm, `after` mm to moving."""

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
    # The two intensity parameters take part, so that they need not be walked along.
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
  """Derivative of the warped image by each parameter, [voxels, degrees].

  With y = M before v and g the gradient of the warped image by v:
  dI/dp = g . (M before)^-1 dM/dp before v.
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
