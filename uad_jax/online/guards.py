"""Guards that keep an online model from learning disease away.

A model of normality that updates itself drifts towards calling frequent pathology
normal. Each guard is a number or a flag in `Guards` with a value that switches it off.
`guarded_update` applies them to one update and returns a line for the log, so that a
stream can be replayed and audited.
"""

import hashlib
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from uad_jax.ops.limits import check_number

Log = dict[str, Any]
"""Log line of one decision, of values that JSON can hold."""


class Guards(NamedTuple):
  """Switches of the guards.

  Attributes:
    p_above: An update needs a p-value of the scan above it, in [0, 1]; 0 switches the
      guard off, as conformal p-values are above 0.
    one_vote: Whether a subject counts once, however many scans it has.
    subjects: Distinct subjects after which a pattern counts as recurring, from 1, for
      `residual_memory.begin` and `background_mixture.usual`; 1 switches off.
    frozen: Whether the healthy reference is never evicted, for `residual_memory.begin`.
    drop_percent: Largest fall of the shadow test's average precision, in percent of its
      reference, 0 or more; infinite switches the test off.
  """

  p_above: float = 0.2
  one_vote: bool = True
  subjects: int = 3
  frozen: bool = True
  drop_percent: float = 2.0


OFF = Guards(p_above=0, one_vote=False, subjects=1, frozen=False, drop_percent=math.inf)
"""All guards switched off: the negative control."""


class Votes(NamedTuple):
  """Subjects whose scans have updated the model.

  Attributes:
    codes: `subject_code` of each, in the order of the updates, uint64 [N].
  """

  codes: np.ndarray


class Guarded(NamedTuple):
  """Result of a guarded update.

  Attributes:
    state: The new state, or the old one where the update was refused.
    votes: Subjects that have voted.
    log: The decision.
  """

  state: Any
  votes: Votes
  log: Log


def no_votes() -> Votes:
  """Creates the votes of a new stream."""
  return Votes(np.zeros(0, np.uint64))


def subject_code(subject: str) -> np.uint64:
  """Computes the first 8 bytes of the SHA-256 of a subject's name, as a number.

  The state holds no name; two of a million subjects collide with a chance of 3e-8.

  >>> hex(subject_code('sub-01'))
  '0x41c1ca2f53f4dd0b'
  """
  # Names of files may hold bytes that are not UTF-8.
  digest = hashlib.sha256(subject.encode(errors='surrogateescape')).digest()
  return np.uint64(int.from_bytes(digest[:8], 'big'))


def admit(votes: Votes, subject: str, p_value: float, guards: Guards) -> Log:
  """Decides whether a scan may update the model, by its p-value and its subject.

  Args:
    votes: Subjects that have voted.
    subject: Name of the subject.
    p_value: p-value of the scan against healthy scans, in [0, 1].
    guards: Switches.

  Returns:
    The log line: 'subject' (hexadecimal code), 'p_value', 'decision' ('update' or
    'skip') and 'reason'.

  Raises:
    ValueError: The p-value or a limit is outside its range.
  """
  check_number('p_value', p_value, 0, 1)
  check_number('p_above', guards.p_above, 0, 1)
  code = subject_code(subject)
  reason = ''
  if p_value <= guards.p_above:
    reason = f'p-value not above {guards.p_above:g}'
  elif guards.one_vote and (votes.codes == code).any():
    reason = 'the subject has voted'
  return {
    'subject': f'{int(code):016x}',
    'p_value': float(p_value),
    'decision': 'skip' if reason else 'update',
    'reason': reason,
  }


def shadow_test(
  state: Any, precision_of: Callable[[Any], float], reference: float, guards: Guards
) -> Log:
  """Tests on fixed synthetic lesions whether an updated model still detects them.

  The limit is relative to the average precision of the model at its start. Relative to
  the last update, a fall below the limit at each of many updates would pass unseen.

  Args:
    state: Updated state.
    precision_of: Function (state) -> average precision on a fixed set of pairs of an
      anomaly map and its lesion mask, in [0, 1].
    reference: Average precision of the first state, in [0, 1].
    guards: Switches.

  Returns:
    The log line: 'passed', 'precision' and 'reference'; with the test switched off
    'passed' alone, and `precision_of` is not called.

  Raises:
    ValueError: An average precision is outside [0, 1], or the limit is below 0 or NaN.
  """
  if not guards.drop_percent >= 0:
    raise ValueError(
      f'drop_percent is {guards.drop_percent}; allowed is a number of 0 or more'
    )
  if math.isinf(guards.drop_percent):
    return {'passed': True}
  check_number('reference', reference, 0, 1)
  precision = float(precision_of(state))
  check_number('average precision of the shadow test', precision, 0, 1)
  passed = precision >= reference * (1 - guards.drop_percent / 100)
  return {'passed': passed, 'precision': precision, 'reference': float(reference)}


def guarded_update(
  state: Any,
  votes: Votes,
  update: Callable[[Any], Any],
  subject: str,
  p_value: float,
  precision_of: Callable[[Any], float],
  reference: float,
  guards: Guards,
) -> Guarded:
  """Updates a model by one scan, unless a guard refuses it, and logs the decision.

  Args:
    state: State of the online model.
    votes: Subjects that have voted.
    update: Pure function (state) -> updated state, which adds the scan.
    subject: Name of the subject.
    p_value: p-value of the scan against healthy scans, in [0, 1].
    precision_of: Function (state) -> average precision of the shadow test.
    reference: Average precision of the first state.
    guards: Switches.

  Returns:
    State, votes and log line; its 'decision' is 'update', 'skip' or 'roll back'. A
    subject whose update was skipped or rolled back has not voted.
  """
  log = admit(votes, subject, p_value, guards)
  if log['decision'] == 'skip':
    return Guarded(state, votes, log)
  updated = update(state)
  test = shadow_test(updated, precision_of, reference, guards)
  if not test.pop('passed'):
    reason = f'average precision fell by more than {guards.drop_percent:g} %'
    log |= {'decision': 'roll back', 'reason': reason}
    return Guarded(state, votes, {**log, **test})
  voted = Votes(np.append(votes.codes, subject_code(subject)))
  return Guarded(updated, voted, {**log, **test})
