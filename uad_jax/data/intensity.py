"""Maps of intensity: each looks at the brain of one scan and returns a function of values.

The map is found on the image and applied to its lesion-free twin too, so that the two
stay equal outside the lesion. Brain ends in about [0, 1] in each.
"""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from uad_jax.data.align import template

Map = Callable[[np.ndarray], np.ndarray]


def percentile(brain: np.ndarray, low: float = 0.5, high: float = 99.5) -> Map:
  """Straight line that takes the `low` percentile to 0 and the `high` one to 1."""
  a, b = np.percentile(brain, (low, high))
  return lambda x: (x - a) / (b - a)


def zscore(brain: np.ndarray, centre: float = 0.5, width: float = 1 / 6) -> Map:
  """centre + width z, with z = (x - mean) / deviation; 0 and 1 give the plain z-score.

  The default puts three deviations to either side into [0, 1].
  """
  mean, deviation = brain.mean(), brain.std()
  return lambda x: centre + width * (x - mean) / deviation


def white_stripe(
  brain: np.ndarray, centre: float = 0.75, width: float = 0.05, tau: float = 0.05
) -> Map:
  """White stripe (Shinohara et al., NeuroImage: Clinical 2014), for T1.

  z = (x - mu) / sigma over the stripe: the values within `tau` of the white-matter mode
  mu in cumulative probability. The result is centre + width z; 0 and 1 give plain z.
  """
  _, mu = tissue_peaks(brain)
  at = (brain < mu).mean()
  stripe = np.quantile(brain, np.clip((at - tau, at + tau), 0, 1))
  inside = brain[(brain >= stripe[0]) & (brain <= stripe[1])]
  sigma = inside.std()
  return lambda x: centre + width * (x - mu) / sigma


def peaks(brain: np.ndarray, grey: float = 0.5, white: float = 0.75) -> Map:
  """Straight line that takes the grey-matter peak to `grey`, the white one to `white`.

  For T1, where white is brighter than grey.
  """
  g, w = tissue_peaks(brain)
  return lambda x: grey + (white - grey) * (x - g) / (w - g)


def histogram_match(
  brain: np.ndarray, reference: tuple[float, ...] | None = None, knots: int = 101
) -> Map:
  """Piecewise linear, so that the quantiles become those of a reference.

  Nyul and Udupa (Magn Reson Med 1999) with landmarks at `knots` equal steps of
  probability; beyond the outermost the outermost pieces go on.

  Args:
    brain: Values in the brain.
    reference: `quantiles` of the reference's brain; the MNI152 T1 template by default.
    knots: Number of landmarks when the template is the reference.
  """
  if reference is None:
    volume, _ = template()
    reference = quantiles(volume[volume > 0.1], knots)
  target = np.asarray(reference, float)
  own, first = np.unique(quantiles(brain, len(target)), return_index=True)
  target = target[first]
  low, high = (
    (target[i] - target[j]) / (own[i] - own[j]) for i, j in ((1, 0), (-1, -2))
  )

  def apply(x):
    middle = np.interp(x, own, target)
    middle = np.where(x < own[0], target[0] + low * (x - own[0]), middle)
    return np.where(x > own[-1], target[-1] + high * (x - own[-1]), middle)

  return apply


def quantiles(brain: np.ndarray, knots: int = 101) -> tuple[float, ...]:
  """Values at `knots` equal steps of probability from 0.5 to 99.5 %."""
  at = np.linspace(0.005, 0.995, knots)
  return tuple(float(v) for v in np.quantile(brain, at))


def tissue_peaks(brain: np.ndarray) -> tuple[float, float]:
  """Grey- and white-matter peaks of a T1 brain.

  Expectation maximisation of three normal densities (fluid, grey, white) on the
  histogram; the peak is the highest point of the smoothed histogram within a deviation
  of the density's mean, because partial volume pulls the means towards each other.
  """
  low, high = np.percentile(brain, (0.5, 99.5))
  counts, edges = np.histogram(brain, 256, (low, high))
  values = (edges[1:] + edges[:-1]) / 2
  mean = np.quantile(brain, (0.08, 0.4, 0.8))
  deviation = np.full(3, (high - low) / 8)
  weight = np.array([0.15, 0.45, 0.4])
  for _ in range(60):
    z = (values[:, None] - mean) / deviation
    joint = weight * np.exp(-0.5 * z**2) / deviation
    share = counts[:, None] * joint / np.maximum(joint.sum(1, keepdims=True), 1e-30)
    total = np.maximum(share.sum(0), 1e-9)
    weight, mean = total / total.sum(), (share * values[:, None]).sum(0) / total
    spread = (share * (values[:, None] - mean) ** 2).sum(0) / total
    deviation = np.sqrt(np.maximum(spread, ((high - low) / 64) ** 2))
  smooth = ndimage.gaussian_filter1d(counts.astype(float), 4)
  order = np.argsort(mean)

  def mode(k):
    near = np.abs(values - mean[k]) <= deviation[k]
    return values[near][smooth[near].argmax()]

  return float(mode(order[1])), float(mode(order[2]))
