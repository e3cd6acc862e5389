"""Functions that measure the deformation of a healthy image to match a patient's scan.

The deformation should fit healthy anatomy but not lesions. The deformed image is the
prior image, a pseudo-healthy image. A gate, open at suspected lesions, keeps the
deformation from explaining them away.

Symbols: x image, x_ph prior image (pseudo-healthy, before the deformation), x_m
reconstruction (the prior image after the deformation), u displacement field in voxels,
eps = ||grad u||_F strain, L lesion, H brain without the lesion and its surroundings,
u_twin displacement field of the lesion-free twin (the same scan without its lesion).

  dlr   mean_L eps / mean_H eps: below 1, lesions are deformed less than healthy brain
  rkr   mean_L|x - x_m| / mean_L|x - x_ph|: 1 keeps the lesion's residual
  hrr   1 - mean_H|x - x_m| / mean_H|x - x_ph|: 1 removes the healthy residual
  cfe   mean of |u - u_twin| over L and its surroundings, voxels: 0 ignores the lesion
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from uad_jax.evaluation.metrics import dice
from uad_jax.evaluation.scans import lesion_in

REACH = 3  # voxels: width of a lesion's surroundings and of those of a ventricle
OPEN = 0.5  # a gate above this value counts as open
_TINY = 1e-12  # a ratio with a smaller denominator is undefined


def dilate(mask: np.ndarray, planar: bool, reach: int = REACH) -> np.ndarray:
  """Dilates a binary mask by `reach` voxels.

  In a stack of slices (`planar`) the mask grows only within the slices. These are
  registered independently, so a lesion has no influence on other slices.
  """
  if planar:
    structure = ndimage.generate_binary_structure(2, 1)[..., None]
  else:
    structure = ndimage.generate_binary_structure(3, 1)
  return ndimage.binary_dilation(mask, structure, reach)


class Regions(NamedTuple):
  """Masks of brain, lesion, lesion surroundings and healthy brain of one scan.

  All are bool [X, Y, Z].

  Attributes:
    brain: Brain mask.
    lesion: L, the lesion inside the brain mask.
    around: The lesion and its surroundings, inside the brain mask.
    healthy: H, the brain without the lesion and its surroundings.
  """

  brain: np.ndarray
  lesion: np.ndarray
  around: np.ndarray
  healthy: np.ndarray


def regions(volume: Mapping[str, np.ndarray], planar: bool) -> Regions:
  """Computes the masks of lesion, lesion surroundings and healthy brain of one scan.

  Args:
    volume: Arrays [X, Y, Z, C] of the scan: brain 'mask' and, if known, 'lesion'.
    planar: Whether the scan is a stack of slices.
  """
  brain, lesion = volume['mask'][..., 0] > 0, lesion_in(volume)
  around = dilate(lesion, planar) & brain
  return Regions(brain, lesion, around, brain & ~around)


def mean_in(values: np.ndarray, where: np.ndarray) -> float:
  """Computes the mean of an array over the voxels of a mask; nan if there are none."""
  return float(values[where].mean()) if where.any() else np.nan


def fraction(a: float, b: float) -> float:
  """Computes the ratio of two numbers, a / b; nan if b is nearly zero."""
  return a / b if abs(b) > _TINY else np.nan


def ventricle_dice(
  image: np.ndarray,
  estimates: Mapping[str, np.ndarray],
  ventricle: np.ndarray,
  reference: np.ndarray,
  planar: bool,
) -> dict[str, float]:
  """Computes the Dice of ventricles segmented by intensity with labelled ventricles.

  The segmentation is a surrogate, because a prior image has no labels: a voxel of an
  estimate is ventricle if its intensity is on the ventricle's side of the midpoint
  between the image's mean in the labelled ventricle and its mean in the reference
  tissue. Only voxels within REACH voxels of the label are considered. The image itself
  as an estimate gives the highest Dice that the surrogate can reach.

  Args:
    image: [X, Y, Z] scan, or its lesion-free twin if known.
    estimates: Images [X, Y, Z] in which the ventricles are segmented, on the same grid,
      by name.
    ventricle: Labelled ventricles, bool [X, Y, Z].
    reference: Tissue of another intensity, such as white matter, bool [X, Y, Z].
    planar: Whether the scan is a stack of slices.

  Returns:
    Dice by name of the estimate; nan without ventricle or reference voxels.
  """
  if not (ventricle.any() and reference.any()):
    return dict.fromkeys(estimates, np.nan)
  fluid, tissue = image[ventricle].mean(), image[reference].mean()
  midpoint = (fluid + tissue) / 2
  near = dilate(ventricle, planar)

  def seen(estimate):
    return near & ((estimate - midpoint) * (fluid - tissue) > 0)

  return {name: dice(seen(x), ventricle) for name, x in estimates.items()}


def residual_ratios(
  image: np.ndarray,
  prior: np.ndarray,
  warped: np.ndarray,
  lesion: np.ndarray,
  healthy: np.ndarray,
) -> dict[str, float]:
  """Computes how a deformation changes the difference between scan and prior image.

  The difference is the residual. 'rkr' is the share of the residual that is kept in the
  lesion, 'hrr' the share that is removed in healthy brain.

  Args:
    image: [X, Y, Z] scan.
    prior: [X, Y, Z] prior image.
    warped: [X, Y, Z] reconstruction, the prior image after the deformation.
    lesion: L, bool [X, Y, Z].
    healthy: H, bool [X, Y, Z].
  """
  before, after = np.abs(image - prior), np.abs(image - warped)
  return {
    'rkr': fraction(mean_in(after, lesion), mean_in(before, lesion)),
    'hrr': 1 - fraction(mean_in(after, healthy), mean_in(before, healthy)),
  }


def measure(
  volume: Mapping[str, np.ndarray], planar: bool, ventricle: int, white: int
) -> dict[str, float]:
  """Computes the metrics of how well the prior image was registered to one scan.

  The module docstring defines some of them; others describe the gate, folding and the
  ventricles. A metric whose arrays are missing is left out.

  Args:
    volume: Arrays [X, Y, Z, C] of the scan: 'image' and 'mask'; if known, 'lesion',
      'twin', 'labels'; if the method has them, 'prior', 'reconstruction', 'gate', and
      'displacement' [X, Y, Z, d] with 'strain' and 'folded' [X, Y, Z] and, for a scan
      with a twin, 'twin_displacement'. Only the first channel of images is used.
    planar: Whether the scan is a stack of slices.
    ventricle: Value of the ventricles in 'labels'.
    white: Value of white matter in 'labels'.
  """
  first = {
    name: volume[name][..., 0]
    for name in ('image', 'prior', 'reconstruction', 'twin', 'labels', 'gate')
    if name in volume
  }
  brain, lesion, around, healthy = regions(volume, planar)
  metrics = {}
  if 'gate' in first:
    opened = first['gate'] > OPEN
    metrics['gate_healthy_open'] = mean_in(opened, healthy)
    metrics['gate_lesion_recall'] = mean_in(opened, lesion)
  if 'displacement' not in volume:
    return metrics
  strain = {'lesion': mean_in(volume['strain'], lesion)}
  strain['healthy'] = mean_in(volume['strain'], healthy)
  metrics['folding_fraction'] = mean_in(volume['folded'], brain)
  metrics['strain_lesion'] = strain['lesion']
  metrics['strain_healthy'] = strain['healthy']
  metrics['dlr'] = fraction(strain['lesion'], strain['healthy'])
  if 'twin_displacement' in volume:
    error = np.linalg.norm(
      volume['displacement'] - volume['twin_displacement'], axis=-1
    )
    metrics['cfe'] = mean_in(error, around)
  if not {'prior', 'reconstruction'} <= first.keys():
    return metrics
  prior, warped = first['prior'], first['reconstruction']
  metrics |= residual_ratios(first['image'], prior, warped, lesion, healthy)
  if 'labels' in first:
    image = first.get('twin', first['image'])
    names = ('ventricle_dice_before', 'ventricle_dice', 'ventricle_dice_ceiling')
    metrics |= ventricle_dice(
      image,
      dict(zip(names, (prior, warped, image), strict=True)),
      first['labels'] == ventricle,
      (first['labels'] == white)
      if (first['labels'] == white).any()
      else brain & (first['labels'] != ventricle),
      planar,
    )
  return metrics
