"""Preprocessing steps that check, bias-correct, denoise and normalise intensities."""

import numpy as np

from uad_jax.data.preprocessing import bias as biases
from uad_jax.data.preprocessing import intensity as intensities
from uad_jax.data.preprocessing import nifti
from uad_jax.data.preprocessing.scan import ScanState
from uad_jax.data.preprocessing.steps.brain import need_brain


def check(scan: ScanState) -> ScanState:
  """Checks that the image and its lesion-free twin are finite and not constant.

  The twin is the scan without its lesion.

  Raises:
    BadScan: The image or the twin holds NaN or Inf, or one value only.
  """
  for image in (scan.image, scan.twin):
    if image is not None:
      nifti.check_values(nifti.Volume(image, scan.affine, scan.name))
  return scan


def n4(scan: ScanState, shrink: int = 2) -> ScanState:
  """Corrects the bias field of a scan by N4 (Tustison et al., IEEE TMI 2010).

  N4 is run by SimpleITK. The field is fitted inside the brain mask or, without one,
  where the image is above its mean. The lesion-free twin is divided by the same field.

  Args:
    scan: State of the scan.
    shrink: Factor by which the image is downsampled for the fit.

  Raises:
    ModuleNotFoundError: SimpleITK is not installed.
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
  mask = scan.image > scan.image.mean() if scan.mask is None else scan.mask
  mask = sitk.GetImageFromArray(mask.astype(np.uint8))
  corrector.Execute(sitk.Shrink(whole, [shrink] * 3), sitk.Shrink(mask, [shrink] * 3))
  field = np.exp(sitk.GetArrayFromImage(corrector.GetLogBiasFieldAsImage(whole)))
  twin = None if scan.twin is None else (scan.twin / field).astype(np.float32)
  return scan._replace(
    image=(scan.image / field).astype(np.float32),
    twin=twin,
    measured={'SimpleITK': sitk.Version_VersionString()},
  )


def bias(scan: ScanState, smooth: float = 30.0) -> ScanState:
  """Estimates the bias field of a T1 scan and divides the scan by it.

  The field is estimated by `bias.estimate`. The lesion-free twin is divided by the same
  field. The brain mask is needed.

  Args:
    scan: State of the scan.
    smooth: FWHM in mm of the filter that makes the field smooth.

  Raises:
    BadScan: The brain mask has no solid part.
  """
  need_brain(scan, 'bias')
  field = biases.estimate(scan.image, scan.mask, scan.affine, smooth, name=scan.name)
  low, high = np.percentile(field[scan.mask], (1, 99))
  return scan._replace(
    image=scan.image / field,
    twin=None if scan.twin is None else scan.twin / field,
    measured={'field': [round(float(low), 3), round(float(high), 3)]},
  )


def denoise(scan: ScanState, rate: float = 0.125, times: int = 3) -> ScanState:
  """Denoises a scan by curvature flow (Sethian, Level Set Methods, 1996).

  Each step is I <- I + rate |grad I| div(grad I / |grad I|): edges move by their
  curvature only. The voxel size counts as 1 along each axis.

  Args:
    scan: State of the scan.
    rate: Step size of the flow.
    times: Number of steps.
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
  """Normalises the intensities of a scan by the method `how`, such as 'zscore'.

  The method is a function of `intensity.NORMALISATIONS`. It is fitted inside the
  brain mask, or to all voxels without one, and applied to the lesion-free twin too.

  Args:
    scan: State of the scan.
    how: Name of the normalisation.
    clip: Range to which the normalised intensities are clipped; None for no clipping.
    background: Value outside the brain mask.
    **parameters: Parameters of the normalisation.

  Raises:
    ValueError: No normalisation is called `how`.
    BadScan: The intensities of the brain hardly differ, so that nothing can be fitted.
  """
  mask = np.ones(scan.image.shape, bool) if scan.mask is None else scan.mask
  brain = scan.image[mask].astype(np.float64)
  apply = _fitted(intensities.by_name(how), brain, parameters, scan.name)

  def mapped(image):
    image = apply(image)
    if clip is not None:
      image = np.clip(image, *clip)
    return np.where(mask, image, background).astype(np.float32)

  twin = None if scan.twin is None else mapped(scan.twin)
  return scan._replace(image=mapped(scan.image), twin=twin)


def _fitted(normalisation, brain: np.ndarray, parameters, name: str) -> intensities.Map:
  """The normalisation fitted to a brain, which maps different numbers differently.

  Args:
    normalisation: Function of `intensity.NORMALISATIONS`.
    brain: Intensities [N] of the brain.
    parameters: Parameters of the normalisation.
    name: Name of the scan, for the message.
  """
  reason = 'there is no voxel'
  if len(brain):
    reason = f'they are from {brain.min():g} to {brain.max():g} and hardly differ'
  if len(brain) and brain.min() < brain.max():
    with np.errstate(all='ignore'):
      try:
        apply = normalisation(brain, **parameters)
        low, high = apply(np.array([brain.min(), brain.max()]))
      except IndexError:  # of a histogram without landmarks
        low = high = np.nan
    if np.isfinite([low, high]).all() and low != high:
      return apply
  raise nifti.BadScan(
    f"{name} has intensities in the brain that '{normalisation.__name__}' cannot be "
    f'fitted to, {reason}; allowed is an image of a brain'
  )
