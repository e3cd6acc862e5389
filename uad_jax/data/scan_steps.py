"""The steps of preprocessing: each takes a `Scan` and gives a `Scan`."""

import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import nibabel as nib
import numpy as np

from uad_jax.data import align as alignment
from uad_jax.data import bias as biases
from uad_jax.data import brainmask, grid, nifti
from uad_jax.data import intensity as intensities
from uad_jax.data.nifti import BadScan
from uad_jax.data.scan import Scan

Steps = Sequence[tuple[str, Mapping[str, Any]]]


def check(scan: Scan) -> Scan:
  """Refuses NaN, Inf and constant images."""
  for image in (scan.image, scan.twin):
    if image is not None:
      nifti.check_values(nifti.Volume(image, scan.affine, scan.name))
  return scan


def reorient(scan: Scan) -> Scan:
  """Permutes and flips the axes to the nearest to x right, y front, z up."""
  turn = nib.io_orientation(scan.affine)
  affine = scan.affine @ nib.orientations.inv_ornt_aff(turn, scan.image.shape)
  axes = ''.join(nib.aff2axcodes(scan.affine))
  scan = scan.each(lambda a: np.ascontiguousarray(nib.apply_orientation(a, turn)))
  return scan._replace(affine=affine, found={'from': axes})


def n4(scan: Scan, shrink: int = 2) -> Scan:
  """N4 bias-field correction (Tustison et al., IEEE TMI 2010) by SimpleITK.

  The field is fitted at 1/`shrink` of the resolution, in the mask where there is one.
  """
  try:
    import SimpleITK as sitk
  except ImportError as error:
    raise ModuleNotFoundError(
      "step 'n4' needs SimpleITK; install it by `pip install uad_jax[n4]` or leave the "
      'step out'
    ) from error
  corrector = sitk.N4BiasFieldCorrectionImageFilter()
  whole = sitk.GetImageFromArray(scan.image - scan.image.min() + 1)
  where = scan.mask
  if where is None:
    where = scan.image > scan.image.mean()
  where = sitk.GetImageFromArray(where.astype(np.uint8))
  corrector.Execute(sitk.Shrink(whole, [shrink] * 3), sitk.Shrink(where, [shrink] * 3))
  field = np.exp(sitk.GetArrayFromImage(corrector.GetLogBiasFieldAsImage(whole)))
  twin = None if scan.twin is None else (scan.twin / field).astype(np.float32)
  return scan._replace(
    image=(scan.image / field).astype(np.float32),
    twin=twin,
    found={'SimpleITK': sitk.Version_VersionString()},
  )


def brain_mask(
  scan: Scan, how: str = 'auto', close: float = 4.0, erode: float = 5.0
) -> Scan:
  """Finds the brain: 'given', from 'labels', of a 'stripped' image, or by 'otsu'.

  'auto' takes the first of them that can be had; `close` (labels, stripped) and `erode`
  (otsu) are in mm.
  """
  spacing = grid.spacing(scan.affine)
  ways = {
    'given': lambda: scan.mask,
    'labels': lambda: brainmask.from_labels(scan.labels, spacing, close),
    'stripped': lambda: brainmask.stripped(scan.image, spacing, close),
    'otsu': lambda: brainmask.by_otsu(scan.image, spacing, erode),
  }
  if how != 'auto' and how not in ways:
    raise ValueError(
      f"step 'brain_mask' is given how='{how}'; allowed are auto, {', '.join(ways)}"
    )
  for way in ways if how == 'auto' else (how,):
    mask = ways[way]()
    if mask is not None and mask.any():
      return scan._replace(mask=mask, found={'by': way})
  raise BadScan(f"{scan.name} has no brain by '{how}'; allowed are {', '.join(ways)}")


def need_brain(scan: Scan, step: str) -> None:
  """Raises unless the brain has been found."""
  if scan.mask is None:
    raise ValueError(f"step '{step}' needs the brain; put 'brain_mask' before it")


def bias(scan: Scan, smooth: float = 30.0) -> Scan:
  """Divides by the smooth intensity field of a T1 brain; see `bias.estimate`.

  The field is found in the image and taken out of its twin as well.
  """
  need_brain(scan, 'bias')
  field = biases.estimate(scan.image, scan.mask, scan.affine, smooth)
  low, high = np.percentile(field[scan.mask], (1, 99))
  return scan._replace(
    image=scan.image / field,
    twin=None if scan.twin is None else scan.twin / field,
    found={'field': [round(float(low), 3), round(float(high), 3)]},
  )


def align(scan: Scan, degrees: int = 12, least: float = 0.7) -> Scan:
  """Finds the affine to the MNI152 T1 template; nothing is interpolated yet.

  A correlation with the template under `least` is warned of.
  """
  need_brain(scan, 'align')
  to_scan, correlation = alignment.register(scan.image, scan.mask, scan.affine, degrees)
  if correlation < least:
    warnings.warn(
      f'{scan.name} correlates with the template by {correlation:.2f} only after the '
      'alignment; look at it',
      stacklevel=2,
    )
  return scan._replace(
    affine=np.linalg.inv(to_scan) @ scan.affine,
    to_scan=to_scan,
    aligned=True,
    found={'to_scan': to_scan.tolist(), 'correlation': round(correlation, 4)},
  )


def crop(scan: Scan, margin: float = 8.0) -> Scan:
  """Keeps the box about the brain with a margin in mm."""
  need_brain(scan, 'crop')
  first, end = grid.bounding_box(scan.mask)
  more = np.ceil(margin / grid.spacing(scan.to_scan @ scan.affine)).astype(int)
  return scan.box(first - more, end + more)


def resample(
  scan: Scan, spacing: float | Sequence[float], order: int = 1, antialias: bool = True
) -> Scan:
  """Interpolates onto a grid of `spacing` mm: the template's if aligned, else its own.

  On the template's grid a voxel is the same place in each scan.
  """
  spacing = np.broadcast_to(np.asarray(spacing, float), (3,))
  if scan.aligned:
    shape, affine = alignment.template_grid(spacing)
  else:
    shape, affine = grid.respaced(scan.image.shape, scan.affine, spacing)
  matrix = np.linalg.inv(scan.affine) @ affine

  def image(array):
    return grid.sample(array, matrix, shape, order, antialias)

  return scan._replace(
    image=image(scan.image),
    twin=None if scan.twin is None else image(scan.twin),
    mask=None if scan.mask is None else grid.sample_mask(scan.mask, matrix, shape),
    lesion=None
    if scan.lesion is None
    else grid.sample_mask(scan.lesion, matrix, shape),
    labels=None if scan.labels is None else grid.sample(scan.labels, matrix, shape, 0),
    affine=affine,
  )


def intensity(
  scan: Scan,
  how: str = 'peaks',
  clip: tuple[float, float] | None = (0.0, 1.5),
  **parameters,
) -> Scan:
  """Maps the intensities by a function of `intensity.py`; 0 outside the brain."""
  mask = np.ones(scan.image.shape, bool) if scan.mask is None else scan.mask
  brain = scan.image[mask].astype(np.float64)
  apply = intensities.by_name(how)(brain, **parameters)

  def mapped(image):
    image = apply(image)
    if clip is not None:
      image = np.clip(image, *clip)
    return np.where(mask, image, 0).astype(np.float32)

  twin = None if scan.twin is None else mapped(scan.twin)
  return scan._replace(image=mapped(scan.image), twin=twin)


def pad_or_crop(scan: Scan, shape: Sequence[int]) -> Scan:
  """Pads with zeros or crops about the centre; two sizes leave z as it is."""
  shape = np.array([*shape, *scan.image.shape[len(shape) :]])
  first = (np.array(scan.image.shape) - shape) // 2
  if scan.mask is not None:
    inside = scan.box(first, first + shape).mask.sum()
    lost = 1 - inside / scan.mask.sum()
    if lost > 0.01:
      warnings.warn(
        f'{scan.name} loses {lost:.0%} of its brain when cut to {shape.tolist()}; '
        'allow a larger shape or spacing',
        stacklevel=2,
      )
  return scan.box(first, first + shape)


def slices(scan: Scan, fraction: float = 0.25) -> Scan:
  """Chooses the slices whose brain area is `fraction` of the largest one's or more."""
  need_brain(scan, 'slices')
  area = scan.mask.sum((0, 1))
  chosen = np.flatnonzero((area >= fraction * area.max()) & (area > 0))
  return scan._replace(slices=tuple(int(k) for k in chosen))


_IN_ORDER = (
  check, reorient, n4, brain_mask, bias, align, crop, resample, intensity, pad_or_crop,
  slices,
)  # fmt: skip
STEPS = {step.__name__: step for step in _IN_ORDER}


def parameters_of(name: str, given: Mapping[str, Any]) -> list[str]:
  """What a step takes; 'intensity' hands on to the function that its `how` names."""
  step = inspect.signature(STEPS[name]).parameters
  own = [key for key, p in step.items() if p.kind is not p.VAR_KEYWORD][1:]
  if len(own) + 1 == len(step):
    return own
  chosen = intensities.by_name(given.get('how', step['how'].default))
  return own + list(inspect.signature(chosen).parameters)[1:]


def check_steps(steps: Steps) -> None:
  """Refuses unknown names and parameters before any file is read."""
  for name, parameters in steps:
    if name not in STEPS:
      raise ValueError(f"step '{name}' is unknown; allowed are {', '.join(STEPS)}")
    allowed = parameters_of(name, parameters)
    unknown = [key for key in parameters if key not in allowed]
    if unknown:
      raise ValueError(
        f"step '{name}' does not take {', '.join(unknown)}; "
        f'allowed are {", ".join(allowed)}'
      )
