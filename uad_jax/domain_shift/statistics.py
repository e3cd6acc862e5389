"""Statistics of scans and slices: image, residual and likelihood, as numbers by name.

A density of states (`density_of_states`) and the gate (`gate`) are fitted to them. The
vocabulary `STATISTICS` says of each what it is in words, and whether it is diffuse: a
focal lesion hardly moves a diffuse statistic, a shift of the domain does (Heer et al.,
"The OOD blind spot of unsupervised anomaly detection", MIDL 2021).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from uad_jax.domain_shift.image_statistics import of_image

RESIDUAL_QUANTILES = (25, 50, 75, 95)
"""Quantiles of the residual in the brain, in per cent."""

LIKELIHOODS = ('elbo', 'rec', 'kl', 'log_prob')
"""Outputs of a method that are likelihoods of an example, in nats."""


class Statistic(NamedTuple):
  """Description of one statistic of a scan.

  Attributes:
    words: Name for a user.
    diffuse: Whether a focal lesion hardly moves it towards the unusual.
    side: 1 if only high values are unusual, -1 if only low ones are, 0 if both are.
  """

  words: str
  diffuse: bool = False
  side: int = 0


STATISTICS = {
  # The image.
  'brightness': Statistic('overall brightness', True),
  'contrast': Statistic('overall contrast', True),
  'asymmetry': Statistic('balance of bright and dark tissue', True),
  'tails': Statistic('share of very bright and very dark tissue', True),
  'intensity_5': Statistic('brightness of the darkest tissue'),
  'intensity_95': Statistic('brightness of the brightest tissue'),
  'detail': Statistic('noise or fine detail', True),
  'resolution': Statistic('resolution', True),
  'sharpness_0': Statistic('sharpness from left to right', True),
  'sharpness_1': Statistic('sharpness from front to back', True),
  'sharpness_2': Statistic('sharpness across the slices', True),
  'centre_0': Statistic('shape of the brain from left to right', True),
  'centre_1': Statistic('orientation or shape of the brain from front to back', True),
  'centre_2': Statistic('orientation or shape of the brain from top to bottom', True),
  'unevenness': Statistic('evenness of the brightness', True),
  'complexity': Statistic('complexity of the image', True),
  # The residual. A lesion lowers the entropy, which is unusual only where it is high.
  'residual_mean': Statistic('mean reconstruction error', side=1),
  'residual_25': Statistic('reconstruction error of the best quarter', True, 1),
  'residual_50': Statistic('reconstruction error', True, 1),
  'residual_75': Statistic('reconstruction error of the worst quarter', True, 1),
  'residual_95': Statistic('largest reconstruction errors', side=1),
  'residual_entropy': Statistic('spread of the reconstruction error', True, 1),
  # The likelihood, in nats per brain voxel.
  'elbo': Statistic('evidence lower bound', side=-1),
  'rec': Statistic('reconstruction term of the evidence lower bound', side=1),
  'kl': Statistic('distance of the code from its prior', side=1),
  'log_prob': Statistic('likelihood of the codes', side=-1),
}
"""All statistics of a scan or slice, by name."""

DIFFUSE = tuple(name for name, statistic in STATISTICS.items() if statistic.diffuse)
"""Names of the statistics that a focal lesion hardly moves, for the gate."""


def of_scan(
  image: np.ndarray,
  brain: np.ndarray,
  residual: np.ndarray | None = None,
  likelihoods: Mapping[str, np.ndarray] | None = None,
) -> dict[str, float]:
  """Computes the statistics of one scan or of one slice.

  Args:
    image: Prepared scan [X, Y, Z, C] or slice [H, W, C].
    brain: Brain mask [*S, 1], above 0 in the brain.
    residual: Residual or anomaly map [*S, 1] or [*S, C], at least 0; None leaves its
      statistics out.
    likelihoods: Outputs of a method, of which `LIKELIHOODS` are used: [B] nats, one for
      each slice of the scan (or one alone). None leaves them out.

  Returns:
    Statistics by name; nan where undefined.
  """
  statistics = of_image(image, brain)
  if residual is not None:
    statistics |= of_residual(residual, brain)
  if likelihoods is not None:
    statistics |= of_likelihoods(likelihoods, int((np.asarray(brain) > 0).sum()))
  return statistics


def of_slices(
  image: np.ndarray,
  brain: np.ndarray,
  residual: np.ndarray | None = None,
  likelihoods: Mapping[str, np.ndarray] | None = None,
  least: int = 100,
) -> dict[str, np.ndarray]:
  """Computes the statistics of each slice of a scan.

  Args:
    image: Prepared scan [X, Y, Z, C].
    brain: Brain mask [X, Y, Z, 1], above 0 in the brain.
    residual: Residual [X, Y, Z, 1] or [X, Y, Z, C], at least 0, or None.
    likelihoods: Outputs of a method, [Z] for each of `LIKELIHOODS` there is, or None.
    least: Brain voxels that a slice needs.

  Returns:
    'slice', the indices [n] of the slices with enough brain, and the statistics [n] by
    name.

  Raises:
    ValueError: No slice has enough brain.
  """
  chosen = np.flatnonzero((np.asarray(brain) > 0).sum((0, 1, 3)) >= least)
  if not len(chosen):
    raise ValueError(f'no slice has {least} brain voxels; one is needed')
  table = [
    of_scan(
      image[:, :, z],
      brain[:, :, z],
      None if residual is None else residual[:, :, z],
      None if likelihoods is None else _at(likelihoods, z),
    )
    for z in chosen
  ]
  return {'slice': chosen, **{n: np.array([row[n] for row in table]) for n in table[0]}}


def of_residual(residual: np.ndarray, brain: np.ndarray) -> dict[str, float]:
  """Computes mean, quantiles and entropy of the residual in the brain.

  Args:
    residual: [*S, C], at least 0, such as |image - reconstruction| or an anomaly map;
      averaged over its channels.
    brain: Brain mask [*S, 1], above 0 in the brain.
  """
  values = np.asarray(residual, np.float64).mean(-1)[np.asarray(brain)[..., 0] > 0]
  quantiles = np.percentile(values, RESIDUAL_QUANTILES)
  named = zip(RESIDUAL_QUANTILES, quantiles, strict=True)
  return {
    'residual_mean': float(values.mean()),
    **{f'residual_{percent}': float(value) for percent, value in named},
    'residual_entropy': residual_entropy(values),
  }


def residual_entropy(residual: np.ndarray) -> float:
  """Computes the normalised entropy of the residual over the voxels of the brain.

  Heer et al. (MIDL 2021): H = -sum_i r_i log r_i / log n with the residuals of the n
  voxels scaled to the sum 1. It is 1 for a uniform residual and 0 for a single voxel: a
  lesion is focal and lowers it, a shift of the domain is diffuse and raises it.

  Args:
    residual: [n] residuals in the brain, at least 0.

  Returns:
    H in [0, 1]; nan where the residual is 0 everywhere, or n is below 2.

  Raises:
    ValueError: A residual is negative or not finite.
  """
  residual = np.ravel(residual).astype(np.float64)
  if not (np.isfinite(residual).all() and (residual >= 0).all()):
    raise ValueError('an entropy needs residuals that are finite and at least 0')
  if residual.size < 2 or not residual.any():
    return np.nan
  share = residual / residual.sum()
  share = share[share > 0]
  return float(-(share * np.log(share)).sum() / np.log(residual.size))


def of_likelihoods(outputs: Mapping[str, np.ndarray], voxels: int) -> dict[str, float]:
  """Computes the likelihoods of a scan in nats per brain voxel, with the ELBO's sign.

  ELBO = -rec - kl, high for a likely scan: rec is an error, and is not added. A method
  that gives 'rec' and 'kl' but no 'elbo' gets it by this formula. The terms of the
  slices of a scan are added up, as slices are independent in a 2-D model.

  Args:
    outputs: Outputs of a method, of which `LIKELIHOODS` are used: [B] nats, or a
      number.
    voxels: Brain voxels of the slices together.
  """
  terms = {
    name: float(np.sum(outputs[name], dtype=np.float64)) / max(voxels, 1)
    for name in LIKELIHOODS
    if name in outputs
  }
  if 'elbo' not in terms and {'rec', 'kl'} <= terms.keys():
    terms['elbo'] = -terms['rec'] - terms['kl']
  return terms


def _at(likelihoods: Mapping[str, np.ndarray], index: int) -> dict[str, np.ndarray]:
  """Returns the likelihoods of one slice."""
  return {n: likelihoods[n][index] for n in LIKELIHOODS if n in likelihoods}
