"""State of a stream of scans, and its start from healthy scans of the source."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from uad_jax.online import adaptive_conformal, exchangeability, false_discovery
from uad_jax.online.guards import Votes, no_votes, subject_code
from uad_jax.online.healthy_reference import measure
from uad_jax.online.recurrence_filter import Patterns, Reference, filtered
from uad_jax.online.scan_decision import Calibration, Marks
from uad_jax.online.scan_maps import Maps
from uad_jax.online.shadow_lesions import Shadow, precision_of
from uad_jax.online.stream_settings import Settings, check

Array = np.ndarray


class Scan(NamedTuple):
  """One scan of a stream.

  Attributes:
    maps: Signed residual, anomaly map and brain mask, each [*S].
    subject: Name of the subject.
    identifier: Name of the scan, unlike that of any scan before.
  """

  maps: Maps
  subject: str
  identifier: str


class Stream(NamedTuple):
  """State of a stream.

  Attributes:
    settings: Settings, fixed at the start.
    reference: Constants of the healthy scans.
    shadows: Healthy scans with synthetic lesions, for the shadow test.
    precision: Average precision of the shadow test at the start.
    patterns: Patterns learnt so far.
    votes: Subjects whose scans were learnt.
    calibration: Scores for the p-values; those of the source alone if frozen.
    level: Level at which scans are flagged, moved by answers of readers.
    learnt: Codes of the scans with an open decision that were learnt.
    discoveries: State of the rule over all scans.
    medians: Median scores of the healthy scans and of all scans so far, [n].
    drift: Bets against the exchangeability of `medians`.
    steps: Number of scans and answers so far.
  """

  settings: Settings
  reference: Reference
  shadows: tuple[Shadow, ...]
  precision: float
  patterns: Patterns
  votes: Votes
  calibration: Calibration
  level: adaptive_conformal.AdaptiveLevel
  learnt: Sequence[str]
  discoveries: false_discovery.Discoveries
  medians: Array
  drift: exchangeability.Drift
  steps: int = 0


class Decision(NamedTuple):
  """Decision on one scan.

  Attributes:
    anomaly: Filtered anomaly map, float32 [*S].
    marks: Its components at or above the threshold.
    component_p: Family-wise p-value of each component, float64 [N].
    marked: Voxels of the components whose p-value is at most the level, bool [*S].
    p_value: p-value of the scan, that of its largest component.
    flagged: Whether it is at most the level.
    discovery: Whether the rule over the stream calls the scan anomalous.
    drift: Whether the stream has drifted away from the healthy scans.
  """

  anomaly: Array
  marks: Marks
  component_p: Array
  marked: Array
  p_value: float
  flagged: bool
  discovery: bool
  drift: bool


def begin(healthy: Sequence[Maps], settings: Settings) -> Stream:
  """Creates the state of a stream from healthy validation scans of the source.

  Args:
    healthy: Maps of healthy scans that were not trained on, 5 or more, on one grid.
    settings: Settings of the stream.

  Returns:
    The state before the first scan.

  Raises:
    ValueError: A setting is not allowed, or the maps do not fit together.
  """
  check(settings)
  start = measure(healthy, settings)
  medians = [median_of(maps) for maps in healthy]
  stream = Stream(
    settings,
    start.reference,
    start.shadows,
    0.0,
    start.patterns,
    no_votes(),
    start.calibration,
    adaptive_conformal.start_level(settings.alpha, settings.adaptive_rate),
    (),
    false_discovery.start(settings.discovery_rate),
    np.array(medians, np.float64),
    exchangeability.start_shiryaev_roberts(settings.run_length),
  )
  return stream._replace(precision=shadow_precision(stream, stream.patterns))


def name_code(name: str) -> str:
  """Computes the code of a name, the first 16 hexadecimal digits of its SHA-256."""
  return f'{int(subject_code(name)):016x}'


def shadow_precision(stream: Stream, patterns: Patterns) -> float:
  """Computes the average precision of the shadow test with these patterns."""
  return precision_of(
    stream.shadows,
    lambda one: filtered(
      one.anomaly,
      one.mask,
      one.description,
      patterns,
      stream.reference,
      stream.settings,
    ),
  )


def median_of(maps: Maps) -> float:
  """Median score of the brain; a lesion hardly moves it, another scanner does."""
  return float(np.median(maps.anomaly[maps.mask > 0]))
