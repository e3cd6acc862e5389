"""Stream of scans: filters each anomaly map, decides, and learns under guards.

The state is a tuple of tuples and arrays; every function returns a new one and depends
on nothing else, so that a stream can be replayed from its log to the same bits. Names
of scans and subjects are kept as the first 8 bytes of their SHA-256.

The p-values compare a filtered map with healthy scans that were not filtered by
recurrence. Suppression never raises a score, so that they err towards healthy; moments
of the voxels that follow the stream have no such guarantee, and are anchored instead.
"""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from uad_jax.online import adaptive_conformal, conformal, exchangeability
from uad_jax.online.guards import Log, guarded_update, subject_code
from uad_jax.online.healthy_reference import describe
from uad_jax.online.recurrence_filter import Description, Patterns, filtered, learn
from uad_jax.online.scan_decision import grow, largest, marks, p_values
from uad_jax.online.scan_maps import Maps, checked
from uad_jax.online.stream_settings import DISCOVERIES
from uad_jax.online.stream_state import (
  Decision,
  Scan,
  Stream,
  median_of,
  name_code,
  shadow_precision,
)


def observe(stream: Stream, scan: Scan) -> tuple[Stream, Decision, Log]:
  """Filters and decides on one scan, then learns from it unless a guard refuses.

  The decision depends on earlier scans only. With the guard `p_above` a flagged scan is
  never learnt, whatever its p-value. With the guard `frozen` the p-value must exceed
  the limit also where the map is standardised by the healthy moments: moments that have
  followed lesions hide further ones, which would be learnt as well.

  Args:
    stream: State before the scan.
    scan: The scan.

  Returns:
    The state after the scan, the decision, and a line for the log.

  Raises:
    ValueError: The maps do not fit, or the scan has an open decision.
  """
  settings, code = stream.settings, name_code(scan.identifier)
  if code in stream.level.pending:
    raise ValueError(
      f"scan '{scan.identifier}' has an open decision; allowed is one for each scan"
    )
  maps = checked(scan.maps, stream.shadows[0].mask.shape)
  description = describe(maps, stream.reference, settings)
  line = {'kind': 'scan', 'step': stream.steps, 'scan': code, 'maps': digest(maps)}
  p_frozen = _frozen_p(stream, maps, description)
  stream, decision, facts = _decide(stream, maps, description, code)
  p_value = min(decision.p_value, p_frozen)
  sick = decision.flagged or decision.discovery
  refused = 'the scan is flagged' if sick and settings.guards.p_above > 0 else ''
  stream, learning = _learn(stream, maps, description, scan.subject, p_value, refused)
  if learning['decision'] == 'update':
    learnt = (*stream.learnt, code)[-stream.level.capacity :]
    grown = grow(stream.calibration, facts['score'], settings)
    stream = stream._replace(learnt=learnt, calibration=grown)
  return _next(stream), decision, {**line, **facts, **learning}


def decide(stream: Stream, scan: Scan) -> Decision:
  """Filters and decides on one scan as `observe` does, and learns nothing.

  Args:
    stream: State of the stream.
    scan: The scan.

  Raises:
    ValueError: The maps do not fit.
  """
  maps = checked(scan.maps, stream.shadows[0].mask.shape)
  description = describe(maps, stream.reference, stream.settings)
  return _decide(stream, maps, description, name_code(scan.identifier))[1]


def answer(
  stream: Stream, identifier: str, healthy: bool, scan: Scan | None = None
) -> tuple[Stream, Log]:
  """Takes a reader's delayed answer about a scan: was it healthy?

  The answer moves the level (`adaptive_conformal.feedback`). A scan that was called
  healthy is learnt if its maps are passed again and it was not learnt before; the
  answer takes the place of its p-value, and all other guards hold.

  Args:
    stream: State before the answer.
    identifier: Name of the scan, which has an open decision.
    healthy: Whether the reader called the scan healthy.
    scan: The scan, to learn from it; None moves the level alone.

  Returns:
    The state after the answer, and a line for the log.

  Raises:
    ValueError: The scan has no open decision, is another one, or its maps do not fit.
  """
  if scan is not None and scan.identifier != identifier:
    raise ValueError(f"scan is '{scan.identifier}'; allowed is '{identifier}' or None")
  if (code := name_code(identifier)) not in stream.level.pending:
    raise ValueError(
      f"scan '{identifier}' has no open decision; allowed are scans that have"
    )
  return _answer(stream, code, healthy, scan)


def replay(stream: Stream, log: Sequence[Log], scans: Iterable[Scan]) -> Stream:
  """Repeats a stream from its log, and checks that each step is the same.

  Args:
    stream: State at which the log begins.
    log: Lines of `observe` and `answer`, in order.
    scans: Scans of those lines that have maps, in the same order.

  Returns:
    The state at the end of the log, the same to the bit.

  Raises:
    ValueError: There are fewer scans than in the log, or a line comes out differently;
      the message says which one.
  """
  rest = iter(scans)
  for line in log:
    scan = next(rest, None) if line['maps'] else None
    if line['maps'] and scan is None:
      raise ValueError(f'step {line["step"]} of the log has a scan; there are no more')
    if line['kind'] == 'scan':
      stream, _, again = observe(stream, scan)
    else:
      stream, again = _answer(stream, line['scan'], line['healthy'], scan)
    if again != line:
      other = [key for key in line if again.get(key) != line[key]]
      raise ValueError(
        f'step {line["step"]} of the log differs in {", ".join(other)}; allowed is the '
        'stream that wrote it'
      )
  return stream


def digest(maps: Maps) -> str:
  """Computes 16 hexadecimal digits of the SHA-256 over the maps of a scan."""
  total = hashlib.sha256()
  for values in maps:
    total.update(np.ascontiguousarray(values, np.float32))
  return total.hexdigest()[:16]


def _answer(
  stream: Stream, code: str, healthy: bool, scan: Scan | None
) -> tuple[Stream, Log]:
  """Takes an answer about the scan with this code, see `answer`."""
  level = adaptive_conformal.feedback(stream.level, code, healthy)
  known = code in stream.learnt
  line = {'kind': 'answer', 'step': stream.steps, 'scan': code, 'maps': ''}
  line |= {'healthy': bool(healthy), 'level': level.level, 'learnt': known}
  stream = stream._replace(
    level=level, learnt=tuple(other for other in stream.learnt if other != code)
  )
  if scan is None:
    return _next(stream), line
  maps = checked(scan.maps, stream.shadows[0].mask.shape)
  refused = 'the scan was learnt before' if known else ''
  refused = refused if healthy else 'a reader did not call the scan healthy'
  description = describe(maps, stream.reference, stream.settings)
  stream, learning = _learn(stream, maps, description, scan.subject, 1.0, refused)
  return _next(stream), {**line, 'maps': digest(maps), **learning}


def _decide(
  stream: Stream, maps: Maps, description: Description, code: str
) -> tuple[Stream, Decision, Log]:
  """Filters and decides on a scan; moves the level's list, discoveries and drift."""
  settings, reference = stream.settings, stream.reference
  anomaly = filtered(
    maps.anomaly, maps.mask, description, stream.patterns, reference, settings
  )
  parts = marks(anomaly, maps.mask, reference.threshold)
  component_p = p_values(stream.calibration, parts.masses, settings.recency)
  p_value, alpha = float(component_p.min(initial=1)), stream.level.level
  level, flagged = adaptive_conformal.decide(stream.level, code, p_value)
  discoveries, discovery = DISCOVERIES[settings.discovery](stream.discoveries, p_value)
  rng = np.random.default_rng((settings.seed, stream.steps, 0))
  median = median_of(maps)
  smoothed = conformal.smoothed_p_values(stream.medians, [median], rng)
  drift = exchangeability.bet(stream.drift, float(smoothed[0]))
  marked = np.append(False, component_p <= alpha)[parts.labels]
  alarm = exchangeability.is_alarm(drift)
  decision = Decision(
    anomaly, parts, component_p, marked, p_value, flagged, discovery, alarm
  )
  facts = {'score': largest(parts.masses), 'p_value': p_value, 'median': median}
  facts |= {'level': alpha, 'flagged': flagged, 'discovery': discovery, 'drift': alarm}
  medians = np.append(stream.medians, median)
  stream = stream._replace(
    level=level, discoveries=discoveries, medians=medians, drift=drift
  )
  return stream, decision, facts


def _frozen_p(stream: Stream, maps: Maps, description: Description) -> float:
  """p-value of a scan under the frozen moments; 1 where the stream's do not differ."""
  settings, reference = stream.settings, stream.reference
  if not (settings.voxels and settings.guards.frozen):
    return 1.0
  patterns = stream.patterns._replace(moments=reference.moments)
  anomaly = filtered(
    maps.anomaly, maps.mask, description, patterns, reference, settings
  )
  masses = marks(anomaly, maps.mask, reference.threshold).masses
  return float(p_values(stream.calibration, masses, settings.recency).min(initial=1))


def _learn(
  stream: Stream,
  maps: Maps,
  description: Description,
  subject: str,
  p_value: float,
  refused: str,
) -> tuple[Stream, Log]:
  """Learns a scan under the guards; `refused` is a reason to skip it, or ''."""
  code = subject_code(subject)
  if refused:
    line = {'subject': name_code(subject), 'p_learning': p_value}
    return stream, {**line, 'decision': 'skip', 'reason': refused}
  rng = np.random.default_rng((stream.settings.seed, stream.steps, 1))

  def update(patterns: Patterns) -> Patterns:
    return learn(patterns, maps, description, p_value, code, stream.settings, rng)

  result = guarded_update(
    stream.patterns,
    stream.votes,
    update,
    subject,
    p_value,
    lambda patterns: shadow_precision(stream, patterns),
    stream.precision,
    stream.settings.guards,
  )
  log = {**result.log, 'p_learning': p_value}
  del log['p_value']
  return stream._replace(patterns=result.state, votes=result.votes), log


def _next(stream: Stream) -> Stream:
  """State after one more scan or answer."""
  return stream._replace(steps=stream.steps + 1)
