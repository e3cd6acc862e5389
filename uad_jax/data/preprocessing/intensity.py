"""Functions that return an intensity normalisation fitted to the brain of one scan.

`brain` are the intensities [N] inside the brain mask of a scan. Each function returns
the normalisation: it maps an array of intensities to an array of the same shape, by
default with the brain at about [0, 1]. It is fitted to the scan and applied to its
lesion-free twin (the scan without its lesion) too, so that the two stay equal outside
the lesion.
"""

import warnings
from collections.abc import Callable

import numpy as np
from scipy import ndimage

from uad_jax.data.preprocessing.align import template

Map = Callable[[np.ndarray], np.ndarray]
"""Function from intensities to normalised intensities, of any shape."""


def percentile(brain: np.ndarray, low: float = 0.5, high: float = 99.5) -> Map:
  """Returns the linear normalisation that maps two intensity percentiles to 0 and 1.

  Args:
    brain: Intensities [N] inside the brain mask.
    low: Percentile in [0, 100] that becomes 0.
    high: Percentile in [0, 100] that becomes 1.
  """
  a, b = np.percentile(brain, (low, high))
  return lambda x: (x - a) / (b - a)


def quartiles(brain: np.ndarray, low: float = 0.5, high: float = 0.8) -> Map:
  """Returns the linear normalisation that sets the quartiles of the brain's intensity.

  The first quartile becomes `low` and the third `high`, by default about what
  `percentile` gives them in a healthy T1 brain. A lesion of a few percent of the brain
  moves the 99.5th percentile, and with it the intensity of all healthy tissue, but
  hardly the quartiles.

  Args:
    brain: Intensities [N] inside the brain mask.
    low: Value of the first quartile.
    high: Value of the third quartile.
  """
  a, b = np.percentile(brain, (25, 75))
  return lambda x: low + (high - low) * (x - a) / (b - a)


def maximum(brain: np.ndarray, high: float = 99.8) -> Map:
  """Returns the normalisation that divides by a percentile of the brain's intensities.

  Args:
    brain: Intensities [N] inside the brain mask.
    high: Percentile in [0, 100] that becomes 1.
  """
  top = np.percentile(brain, high)
  return lambda x: x / top


def zscore(brain: np.ndarray, centre: float = 0.5, width: float = 1 / 6) -> Map:
  """Returns the normalisation by the mean and standard deviation of the brain.

  It is a scaled z-score: x -> centre + width (x - mean) / standard deviation. By
  default, three standard deviations to either side of the mean lie in [0, 1].

  Args:
    brain: Intensities [N] inside the brain mask.
    centre: Value of the brain's mean; 0 with width 1 gives the z-score itself.
    width: Size of one standard deviation of the brain.
  """
  mean, deviation = brain.mean(), brain.std()
  return lambda x: centre + width * (x - mean) / deviation


def robust(brain: np.ndarray, centre: float = 0.5, width: float = 1 / 6) -> Map:
  """Returns the normalisation by the median and the median absolute deviation (MAD).

  It is a scaled robust z-score: x -> centre + width (x - median) / (1.4826 MAD). A
  lesion that is small relative to the brain hardly changes it. 1.4826 MAD estimates
  the standard deviation of a normal distribution.

  Args:
    brain: Intensities [N] inside the brain mask.
    centre: Value of the brain's median; 0 with width 1 gives the robust z-score itself.
    width: Size of one robust standard deviation of the brain.
  """
  median = np.median(brain)
  deviation = 1.4826 * np.median(np.abs(brain - median))
  return lambda x: centre + width * (x - median) / deviation


def white_stripe(
  brain: np.ndarray, centre: float = 0.75, width: float = 0.05, tau: float = 0.05
) -> Map:
  """Computes the white stripe normalisation, a z-score about the white-matter peak.

  Shinohara et al., NeuroImage: Clinical 2014. The stripe holds the intensities whose
  cumulative probability is within `tau` of that of the white-matter peak mu; sigma is
  its standard deviation. The map is x -> centre + width (x - mu) / sigma.

  Args:
    brain: Intensities [N] inside the brain mask of a T1 scan.
    centre: Value of the white-matter peak; 0 with width 1 gives the published z-score.
    width: Size of one standard deviation of the stripe.
    tau: Half of the stripe's width as a cumulative probability.
  """
  _, mu = tissue_peaks(brain)
  probability = (brain < mu).mean()
  stripe = np.quantile(brain, np.clip((probability - tau, probability + tau), 0, 1))
  inside = brain[(brain >= stripe[0]) & (brain <= stripe[1])]
  sigma = inside.std()
  return lambda x: centre + width * (x - mu) / sigma


def peaks(brain: np.ndarray, grey: float = 0.65, white: float = 0.8) -> Map:
  """Returns the linear normalisation that sets the grey- and white-matter intensity.

  It maps the grey-matter peak to `grey` and the white-matter peak to `white`. The peaks
  are those of a T1 brain's intensity histogram, where white matter is brighter than
  grey. In T1, grey is about 0.8 times white, so that by default zero stays near zero
  and fluid above it. A warning is given if the peaks are too far apart to be those of
  grey and white matter.

  Args:
    brain: Intensities [N] inside the brain mask of a T1 scan without bias field.
    grey: Value of the grey-matter peak.
    white: Value of the white-matter peak.
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
  """Returns the normalisation that gives the brain the histogram of a reference brain.

  The map is piecewise linear (Nyul and Udupa, Magn Reson Med 1999), with landmarks at
  equal steps of probability (`quantiles`); outside them the first and the last piece
  are extended.

  Args:
    brain: Intensities [N] inside the brain mask.
    reference: `quantiles` of the reference brain; the MNI152 T1 template by default.
    knots: Number of landmarks where the template is the reference.
  """
  if reference is None:
    volume, _ = template()
    reference = quantiles(volume[volume > 0.1], knots)
  target = np.asarray(reference, float)
  source, first = np.unique(quantiles(brain, len(target)), return_index=True)
  target = target[first]
  low, high = (
    (target[i] - target[j]) / (source[i] - source[j]) for i, j in ((1, 0), (-1, -2))
  )

  def apply(x):
    y = np.interp(x, source, target)
    y = np.where(x < source[0], target[0] + low * (x - source[0]), y)
    return np.where(x > source[-1], target[-1] + high * (x - source[-1]), y)

  return apply


def quantiles(brain: np.ndarray, knots: int = 101) -> tuple[float, ...]:
  """Computes the quantiles of a brain's intensities at equally spaced probabilities.

  Args:
    brain: Intensities [N] inside the brain mask.
    knots: Number of probabilities, from 0.005 to 0.995.
  """
  probabilities = np.linspace(0.005, 0.995, knots)
  return tuple(float(v) for v in np.quantile(brain, probabilities))


def tissue_peaks(brain: np.ndarray) -> tuple[float, float]:
  """Finds the grey- and the white-matter peak of a T1 brain's intensity histogram.

  White is the brightest mode of the histogram that reaches 40 % of the highest one. A
  normal density at white is subtracted from the histogram, its standard deviation taken
  from the intensities above white, which have no partial volume; grey is the highest
  point of the remaining histogram more than one deviation below white.

  Args:
    brain: Intensities [N] inside the brain mask of a T1 scan without bias field.

  Returns:
    (grey, white), intensities.
  """
  low, high = 0.0, float(np.percentile(brain, 99.9))
  counts, edges = np.histogram(brain, 256, (min(low, brain.min()), high))
  values = (edges[1:] + edges[:-1]) / 2
  smooth = ndimage.gaussian_filter1d(counts.astype(float), 3, mode='constant')
  below, above = np.roll(smooth, 1), np.roll(smooth, -1)
  modes = (smooth > below) & (smooth >= above) & (smooth > 0.4 * smooth.max())
  white_bin = np.flatnonzero(modes)[-1] if modes.any() else np.argmax(smooth)
  white = values[white_bin]
  brighter = brain[(brain > white) & (brain <= high)]
  deviation = values[1] - values[0]
  if len(brighter):
    deviation = np.sqrt(np.mean((brighter - white) ** 2))
  density = smooth[white_bin] * np.exp(-0.5 * ((values - white) / deviation) ** 2)
  rest = ndimage.gaussian_filter1d(np.maximum(counts - density, 0), 8, mode='constant')
  grey = values[np.argmax(np.where(values < white - deviation, rest, -1))]
  return float(grey), float(white)


NORMALISATIONS = {
  f.__name__: f
  for f in (
    percentile,
    quartiles,
    maximum,
    zscore,
    robust,
    histogram_match,
    white_stripe,
    peaks,
  )
}
"""The normalisations by name, the values of `how` in the step 'intensity'."""


def by_name(how: str) -> Callable[..., Map]:
  """Looks up an intensity normalisation by its name, such as 'zscore'.

  Args:
    how: Name of the normalisation.

  Returns:
    Function from the intensities [N] of a brain, and options, to a `Map`.

  Raises:
    ValueError: No normalisation has this name.
  """
  if how not in NORMALISATIONS:
    raise ValueError(
      f"step 'intensity' is given how='{how}'; allowed are {', '.join(NORMALISATIONS)}"
    )
  return NORMALISATIONS[how]
