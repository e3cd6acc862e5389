"""Synthetic stream: smooth noise, an artefact of the new scanner, and ball lesions."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from sklearn.metrics import average_precision_score

from uad_jax.online import stream, stream_state
from uad_jax.online.guards import OFF as OFF
from uad_jax.online.healthy_reference import describe
from uad_jax.online.recurrence_filter import filtered
from uad_jax.online.scan_maps import Maps
from uad_jax.online.stream_settings import Settings
from uad_jax.online.stream_state import Scan

SHAPE = (24, 24, 12)
AXES = np.indices(SHAPE)
HALF = np.array([11.5, 11.5, 5.5]).reshape(3, 1, 1, 1)
BRAIN = (((AXES - HALF) / (HALF + 0.5)) ** 2).sum(0) <= 0.9
PLACE = (7, 12, 5)
COMMON = (16, 12, 6)
"""Place of all lesions, where they are at one."""

SETTINGS = Settings(cell=3)


def ball(centre, radius):
  square = (AXES - np.reshape(centre, (3, 1, 1, 1))) ** 2
  return (square.sum(0) <= radius**2) & BRAIN


ARTEFACT = ball(PLACE, 2.0)
VOXELS = np.argwhere(BRAIN)
FREE = VOXELS[np.abs(VOXELS - PLACE).max(1) > 5]


def maps_of(seed, artefact=0.0, lesion=False, place=None):
  """Maps of a scan and its lesion mask; `artefact` is a height in deviations."""
  rng = np.random.default_rng(seed)
  noise = ndimage.gaussian_filter(rng.normal(size=SHAPE), 1.0, mode='wrap')
  residual = noise / noise.std()
  if artefact:
    residual += ARTEFACT * (artefact + 0.3 * rng.normal())
  truth = np.zeros(SHAPE, bool)
  if lesion:
    centre = FREE[rng.integers(len(FREE))] if place is None else place
    truth = ball(centre, rng.uniform(2, 3))
    residual += truth * 3.0 * rng.uniform(0.8, 1.2)
  residual = residual.astype(np.float32)
  return Maps(residual, np.abs(residual), BRAIN.astype(np.float32)), truth


def healthy(number=40, first=0):
  return [maps_of(first + 10_000 + seed)[0] for seed in range(number)]


def scan_of(seed, **options):
  return Scan(maps_of(seed, **options)[0], f'subject {seed}', f'scan {seed}')


def play(start, rate, number=200, place=None, artefact=2.5, first=0):
  """A stream of which the share `rate` has a lesion; the state and the log.

  `first` is the seed of the first scan: another one is another world.
  """
  state, log, rng = start, [], np.random.default_rng(5)
  for seed in range(number):
    sick = bool(rng.random() < rate)
    scan = scan_of(first + seed, artefact=artefact, lesion=sick, place=place)
    state, _, line = stream.observe(state, scan)
    log.append(line)
  return state, log


class Measured(NamedTuple):
  """Results of a state on new scans of the new scanner, every second with a lesion."""

  false_positives: int
  precision: float


def measure(state, place=None, number=40, first=0):
  """Voxels of the artefact above the threshold; AP of lesions by scikit-learn."""
  scores, truths, false_positives = [], [], 0
  for seed in range(50_000, 50_000 + number):
    sick = seed % 2 == 0
    maps, truth = maps_of(first + seed, artefact=2.5, lesion=sick, place=place)
    description = describe(maps, state.reference, state.settings)
    anomaly = filtered(
      *maps[1:], description, state.patterns, state.reference, state.settings
    )
    scores.append(anomaly[BRAIN])
    truths.append(truth[BRAIN])
    above = anomaly >= state.reference.threshold
    false_positives += int((above & ARTEFACT & ~truth).sum())
  both = np.concatenate(truths), np.concatenate(scores)
  return Measured(false_positives, average_precision_score(*both))


def begin(number=40, first=0, **changes):
  return stream_state.begin(healthy(number, first), SETTINGS._replace(**changes))


def leaves(state):
  """Arrays and numbers of a state in order, arrays as bytes with type and shape."""
  if isinstance(state, tuple):
    return [leaf for part in state for leaf in leaves(part)]
  if isinstance(state, np.ndarray | np.generic):
    return [(str(state.dtype), state.shape, state.tobytes())]
  return [state]
