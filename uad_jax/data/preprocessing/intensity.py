"""Maps of intensity: each sees the brain of one scan and returns a function of values.

The map is found on the image and applied to its lesion-free twin too, so that the two
stay equal outside the lesion. Brain ends in about [0, 1] in each.
"""

import warnings
from collections.abc import Callable

import numpy as np
from scipy import ndimage

from uad_jax.data.preprocessing.align import template

Map = Callable[[np.ndarray], np.ndarray]


def percentile(brain: np.ndarray, low: float = 0.5, high: float = 99.5) -> Map:
  """Straight line that takes the `low` percentile to 0 and the `high` one to 1."""
  a, b = np.percentile(brain, (low, high))
  return lambda x: (x - a) / (b - a)


def maximum(brain: np.ndarray, high: float = 99.8) -> Map:
  """Divides by the `high` percentile."""
  top = np.percentile(brain, high)
  return lambda x: x / top


def zscore(brain: np.ndarray, centre: float = 0.5, width: float = 1 / 6) -> Map:
  """Centre + width z, z = (x - mean) / deviation; 0 and 1 give the plain z-score.

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


def peaks(brain: np.ndarray, grey: float = 0.65, white: float = 0.8) -> Map:
  """Straight line that takes the grey-matter peak to `grey`, the white one to `white`.

  For T1, where white is brighter than grey. Grey is about 0.8 of white there, so the
  default keeps zero near zero and fluid above it.
  """
  g, w = tissue_peaks(brain)
  if g < 0.5 * w:
    warnings.warn(
      f'grey and white matter cannot be told apart (peaks at {g:.3g} and {w:.3g}); '
      "another intensity than 'peaks' may serve this scan better",
      stacklevel=2,
    )
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
  """Grey- and white-matter peaks of a T1 brain whose bias field was corrected.

  White is the brightest mode of the histogram that reaches 40 % of the highest one. Its
  normal density, with the deviation of the values above the mode (which hold no partial
  volume), is taken away; grey is the highest point of what is left below it.
  """
  low, high = 0.0, float(np.percentile(brain, 99.9))
  counts, edges = np.histogram(brain, 256, (min(low, brain.min()), high))
  values = (edges[1:] + edges[:-1]) / 2
  smooth = ndimage.gaussian_filter1d(counts.astype(float), 3, mode='constant')
  left, right = np.roll(smooth, 1), np.roll(smooth, -1)
  modes = (smooth > left) & (smooth >= right) & (smooth > 0.4 * smooth.max())
  at = np.flatnonzero(modes)[-1]
  white = values[at]
  above = brain[(brain > white) & (brain <= high)]
  deviation = np.sqrt(np.mean((above - white) ** 2))
  density = smooth[at] * np.exp(-0.5 * ((values - white) / deviation) ** 2)
  left = ndimage.gaussian_filter1d(np.maximum(counts - density, 0), 8, mode='constant')
  grey = values[np.argmax(np.where(values < white - deviation, left, -1))]
  return float(grey), float(white)


WAYS = {
  f.__name__: f
  for f in (percentile, maximum, zscore, histogram_match, white_stripe, peaks)
}


def by_name(how: str):
  """One of `WAYS`: (intensities of the brain, ...) to a function of an image."""
  if how not in WAYS:
    raise ValueError(
      f"step 'intensity' is given how='{how}'; allowed are {', '.join(WAYS)}"
    )
  return WAYS[how]
