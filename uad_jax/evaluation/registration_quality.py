"""Does the deformation explain normal variability and leave lesions alone? On one scan.

Symbols: x image, x_ph prior (the pseudo-healthy image before deformation), x_m
reconstruction (the prior after it), u displacement in voxels, eps = ||grad u||_F
strain, L lesion, H brain without the lesion and its surroundings, u_twin the field that
the same scan gets without its lesion.

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

REACH = 3  # voxels: the lesion's surroundings, and how far a ventricle is looked for
OPEN = 0.5  # a gate above it counts as open
_TINY = 1e-12  # a smaller denominator says nothing


def dilate(mask: np.ndarray, planar: bool, reach: int = REACH) -> np.ndarray:
  """Voxels within `reach` steps of the mask [X, Y, Z]; within slices if `planar`.

  Slices are registered each by itself, so a lesion has no influence across them.
  """
  if planar:
    structure = ndimage.generate_binary_structure(2, 1)[..., None]
  else:
    structure = ndimage.generate_binary_structure(3, 1)
  return ndimage.binary_dilation(mask, structure, reach)


class Regions(NamedTuple):
  """Where a scan is looked at, bool [X, Y, Z] each.

  Attributes:
    brain: The brain.
    lesion: L, inside it.
    around: The lesion and its surroundings, inside it.
    healthy: H, the brain without these.
  """

  brain: np.ndarray
  lesion: np.ndarray
  around: np.ndarray
  healthy: np.ndarray


def regions(volume: Mapping[str, np.ndarray], planar: bool) -> Regions:
  """Those of a scan's 'mask' and, where it is known, its 'lesion'."""
  brain, lesion = volume['mask'][..., 0] > 0, lesion_in(volume)
  around = dilate(lesion, planar) & brain
  return Regions(brain, lesion, around, brain & ~around)


def mean_in(values: np.ndarray, where: np.ndarray) -> float:
  """The mean over the marked voxels, nan when there are none."""
  return float(values[where].mean()) if where.any() else np.nan


def fraction(a: float, b: float) -> float:
  """The ratio a / b, nan when b is zero."""
  return a / b if abs(b) > _TINY else np.nan


def ventricle_dice(
  image: np.ndarray,
  estimates: Mapping[str, np.ndarray],
  ventricle: np.ndarray,
  reference: np.ndarray,
  planar: bool,
) -> dict[str, float]:
  """Overlap of the ventricles seen in each estimate with the labelled ones.

  A surrogate, as a prior has no labels: a voxel of an estimate is ventricle when its
  intensity lies on the ventricle's side of the midpoint between the image's mean in the
  labelled ventricle and in the reference tissue, looked at within REACH voxels of the
  label. The image itself thresholded in this way gives the surrogate's ceiling.

  Args:
    image: [X, Y, Z], the scan (without lesion where that is known).
    estimates: Images on the same grid.
    ventricle: The labelled ventricles.
    reference: Tissue to tell them from, such as white matter.
    planar: Whether the scan is a stack of slices.
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
  """'rkr' and 'hrr', what the deformation leaves of the residual in L and in H."""
  before, after = np.abs(image - prior), np.abs(image - warped)
  return {
    'rkr': fraction(mean_in(after, lesion), mean_in(before, lesion)),
    'hrr': 1 - fraction(mean_in(after, healthy), mean_in(before, healthy)),
  }


def measure(
  volume: Mapping[str, np.ndarray], planar: bool, ventricle: int, white: int
) -> dict[str, float]:
  """All that the scan's arrays allow; a metric without its arrays is left out.

  Args:
    volume: 'image' [X, Y, Z, C] and 'mask'; where known 'lesion', 'twin', 'labels'; as
      far as the method gives them 'prior', 'reconstruction', 'gate', and with
      'displacement' [X, Y, Z, d] also 'strain' and 'folded' [X, Y, Z], and
      'twin_displacement'. The first channel is looked at.
    planar: Whether the scan is a stack of slices.
    ventricle: Its value in 'labels'.
    white: The value of white matter in 'labels'.
  """
  first = {
    name: volume[name][..., 0]
    for name in ('image', 'prior', 'reconstruction', 'twin', 'labels', 'gate')
    if name in volume
  }
  brain, lesion, around, healthy = regions(volume, planar)
  found = {}
  if 'gate' in first:
    opened = first['gate'] > OPEN
    found['gate_healthy_open'] = mean_in(opened, healthy)
    found['gate_lesion_recall'] = mean_in(opened, lesion)
  if 'displacement' not in volume:
    return found
  strain = {'lesion': mean_in(volume['strain'], lesion)}
  strain['healthy'] = mean_in(volume['strain'], healthy)
  found['folding_fraction'] = mean_in(volume['folded'], brain)
  found['strain_lesion'], found['strain_healthy'] = strain['lesion'], strain['healthy']
  found['dlr'] = fraction(strain['lesion'], strain['healthy'])
  if 'twin_displacement' in volume:
    error = np.linalg.norm(
      volume['displacement'] - volume['twin_displacement'], axis=-1
    )
    found['cfe'] = mean_in(error, around)
  if not {'prior', 'reconstruction'} <= first.keys():
    return found
  prior, warped = first['prior'], first['reconstruction']
  found |= residual_ratios(first['image'], prior, warped, lesion, healthy)
  if 'labels' in first:
    image = first.get('twin', first['image'])
    names = ('ventricle_dice_before', 'ventricle_dice', 'ventricle_dice_ceiling')
    found |= ventricle_dice(
      image,
      dict(zip(names, (prior, warped, image), strict=True)),
      first['labels'] == ventricle,
      (first['labels'] == white)
      if (first['labels'] == white).any()
      else brain & (first['labels'] != ventricle),
      planar,
    )
  return found
