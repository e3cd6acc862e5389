"""Steps that check or change intensities."""

import numpy as np

from uad_jax.data.preprocessing import bias as biases
from uad_jax.data.preprocessing import intensity as intensities
from uad_jax.data.preprocessing import nifti
from uad_jax.data.preprocessing.scan import ScanState
from uad_jax.data.preprocessing.steps.brain import need_brain


def check(scan: ScanState) -> ScanState:
  """Refuses NaN, Inf and constant images."""
  for image in (scan.image, scan.twin):
    if image is not None:
      nifti.check_values(nifti.Volume(image, scan.affine, scan.name))
  return scan


def n4(scan: ScanState, shrink: int = 2) -> ScanState:
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


def bias(scan: ScanState, smooth: float = 30.0) -> ScanState:
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


def denoise(scan: ScanState, rate: float = 0.125, times: int = 3) -> ScanState:
  """Curvature flow: I <- I + rate |grad I| div(grad I / |grad I|), `times` times.

  Sethian, Level Set Methods, 1996; edges move by their curvature only. Voxels count as
  cubes of side 1.
  """

  def flow(image):
    for _ in range(times):
      image = image + rate * _curvature_speed(image)
    return image.astype(np.float32)

  twin = None if scan.twin is None else flow(scan.twin)
  return scan._replace(image=flow(scan.image), twin=twin)


def _curvature_speed(image: np.ndarray) -> np.ndarray:
  """|grad I| times the mean curvature of the level sets, by central differences."""
  first = np.gradient(image)
  squared = sum(g * g for g in first)
  total = 0.0
  for a, g in enumerate(first):
    second = np.gradient(g)
    # Sum over pairs of g_a^2 I_bb - g_a g_b I_ab, written once for each ordered pair.
    for b, h in enumerate(first):
      if a != b:
        total = total + h * h * second[a] - g * h * second[b]
  return total / np.maximum(squared, 1e-12 * squared.max() + 1e-30)


def intensity(
  scan: ScanState,
  how: str = 'peaks',
  clip: tuple[float, float] | None = (0.0, 1.5),
  background: float = 0.0,
  **parameters,
) -> ScanState:
  """Maps the intensities by a function of `intensity.py`; `background` outside."""
  mask = np.ones(scan.image.shape, bool) if scan.mask is None else scan.mask
  brain = scan.image[mask].astype(np.float64)
  apply = intensities.by_name(how)(brain, **parameters)

  def mapped(image):
    image = apply(image)
    if clip is not None:
      image = np.clip(image, *clip)
    return np.where(mask, image, background).astype(np.float32)

  twin = None if scan.twin is None else mapped(scan.twin)
  return scan._replace(image=mapped(scan.image), twin=twin)
