"""Memory bank of residual descriptors that recurred in several subjects.

The distance of a descriptor to its nearest entries is an anomaly score, as in PatchCore
(Roth et al. 2022), whose bank is fixed. Here healthy scans fill the frozen part of the
bank, and a stream of scans the rest: a descriptor enters if its p-value is not small,
and is trusted only when enough distinct subjects have shown it.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.spatial import KDTree

from uad_jax.online.array_checks import check_vectors
from uad_jax.ops.choices import choose
from uad_jax.ops.coreset import k_centre
from uad_jax.ops.limits import check_number, check_whole

Array = np.ndarray


class Memory(NamedTuple):
  """Memory bank of fixed capacity; the frozen entries come first.

  Attributes:
    entries: Descriptors, float32 [capacity, F]; 0 where not filled.
    filled: Slots that hold an entry, bool [capacity].
    frozen: Entries of the healthy reference, which stay, bool [capacity].
    voters: Codes of the first m distinct subjects that showed an entry, uint64
      [capacity, m]; 0 for none.
    offered: Number of descriptors that asked for a slot so far, int64 [].
  """

  entries: Array
  filled: Array
  frozen: Array
  voters: Array
  offered: Array


class Rule(NamedTuple):
  """Constants of an update.

  Attributes:
    radius: Distance up to which two descriptors are the same pattern, above 0.
    p_above: Only descriptors with a p-value above it enter, in [0, 1]; 0 admits all
      conformal p-values, as they are above 0.
    eviction: Choice of the entries that stay when the bank is full: 'coreset' or
      'reservoir'.
  """

  radius: float
  p_above: float = 0.2
  eviction: str = 'coreset'


def begin(healthy: Array, capacity: int, subjects: int, frozen: bool = True) -> Memory:
  """Makes a memory bank from descriptors of healthy scans, all of them trusted.

  Args:
    healthy: Descriptors [N, F], N at most the capacity; `coreset.k_centre` thins them.
    capacity: Number of slots.
    subjects: Number m of distinct subjects after which an entry is trusted, from 1.
    frozen: Whether the healthy entries are never evicted.

  Returns:
    The memory bank.

  Raises:
    ValueError: There are more descriptors than slots, or values are not finite.
  """
  check_whole('capacity', capacity, 1)
  check_whole('subjects', subjects, 1)
  healthy = check_vectors('healthy', healthy, np.shape(healthy)[-1])
  if (number := len(healthy)) > capacity:
    raise ValueError(
      f'healthy: there are {number} descriptors; allowed are {capacity}, the capacity'
    )
  entries = np.zeros((capacity, healthy.shape[1]), np.float32)
  entries[:number] = healthy
  filled = np.arange(capacity) < number
  # Votes of nobody, so that healthy entries stay trusted if they are not frozen.
  voters = filled[:, None] * np.arange(1, subjects + 1, dtype=np.uint64)
  offered = np.int64(0 if frozen else number)
  return Memory(entries, filled, filled & frozen, voters, offered)


def trusted(memory: Memory) -> Array:
  """Returns the entries that count: frozen, or shown by m subjects; bool [capacity]."""
  return memory.filled & (memory.frozen | (memory.voters != 0).all(1))


def score(memory: Memory, vectors: Array, neighbours: int = 1) -> Array:
  """Computes the distance of descriptors to their k-th nearest trusted entry.

  Args:
    memory: Memory bank.
    vectors: Descriptors [N, F].
    neighbours: k, from 1.

  Returns:
    Euclidean distances, float64 [N]; infinite where there are fewer than k entries.

  Raises:
    ValueError: F differs or a value is not finite.
  """
  check_whole('neighbours', neighbours, 1)
  vectors = check_vectors('vectors', vectors, memory.entries.shape[1])
  tree = KDTree(memory.entries[trusted(memory)])
  return tree.query(vectors, k=[neighbours])[0][:, 0]


def learn(
  memory: Memory,
  vectors: Array,
  p_values: Array,
  subject: int,
  rule: Rule,
  rng: np.random.Generator,
) -> Memory:
  """Updates the memory bank with the descriptors of one scan.

  A descriptor with a p-value above `rule.p_above` gives the subject's vote to all
  entries within the radius. Those farther than the radius from all entries are thinned
  to a cover (`coreset.k_centre`) and become entries with one vote.

  Args:
    memory: Memory bank so far.
    vectors: Descriptors [N, F] of one scan.
    p_values: p-value of each descriptor [N], or one of the scan [].
    subject: Code of the subject, `guards.subject_code`.
    rule: Constants.
    rng: Generator of the draws of the reservoir.

  Returns:
    The new memory bank, of the same capacity.

  Raises:
    ValueError: F or the number of p-values differs, a value is not finite or a p-value
      outside [0, 1], or a constant is outside its range.
  """
  check_number('radius', rule.radius, 0, above=True)
  check_number('p_above', rule.p_above, 0, 1)
  evict = choose('eviction', rule.eviction, EVICTIONS)
  vectors = check_vectors('vectors', vectors, memory.entries.shape[1])
  usual = np.broadcast_to(_checked(p_values, len(vectors)) > rule.p_above, len(vectors))
  if not usual.any():
    return memory
  vectors = vectors[usual]
  filled = np.flatnonzero(memory.filled)
  shown = KDTree(vectors).query(memory.entries[filled])[0] <= rule.radius
  known = KDTree(memory.entries[filled]).query(vectors)[0] <= rule.radius
  new = k_centre(vectors[~known], len(vectors), vectors[:0], rule.radius).chosen
  subject = np.uint64(subject)
  memory = _vote(memory, filled[shown], subject)
  return evict(memory, vectors[~known][new], subject, rng)


def _checked(p_values: Array, number: int) -> Array:
  """p-values of so many descriptors, or one for all, as float64."""
  p_values = np.asarray(p_values, np.float64)
  right = p_values.shape in ((), (number,))
  if not right or not ((p_values >= 0) & (p_values <= 1)).all():
    raise ValueError(
      f'p_values have shape {p_values.shape} and values from '
      f'{p_values.min(initial=1):g} to {p_values.max(initial=0):g}; allowed are '
      f'{number} numbers or one, from 0 to 1'
    )
  return p_values


def _vote(memory: Memory, slots: Array, subject: np.uint64) -> Memory:
  """Writes a subject's code into the first free place of each slot's voters."""
  voters = memory.voters.copy()
  slots = slots[~(voters[slots] == subject).any(1) & (voters[slots] == 0).any(1)]
  voters[slots, (voters[slots] == 0).argmax(1)] = subject
  return memory._replace(voters=voters)


def _one_vote(memory: Memory, number: int, subject: np.uint64) -> Array:
  """Voters of new entries: the subject alone, [number, m]."""
  voters = np.zeros((number, memory.voters.shape[1]), np.uint64)
  voters[:, 0] = subject
  return voters


def _keep_coreset(
  memory: Memory, new: Array, subject: np.uint64, rng: np.random.Generator
) -> Memory:
  """Keeps the entries that cover best: of the trusted ones first, then of the others.

  Outliers cover most, and a lesion is one; were they chosen together, lesions of single
  subjects would drive out the patterns that recurred.
  """
  keep, move = memory.frozen, memory.filled & ~memory.frozen
  slots = len(keep) - keep.sum()
  entries = np.concatenate([memory.entries[move], new.astype(np.float32)])
  voters = np.concatenate([memory.voters[move], _one_vote(memory, len(new), subject)])
  order = np.arange(len(entries))
  if len(entries) > slots:
    recurred = (voters != 0).all(1)
    order, centres = order[:0], memory.entries[keep]
    for group in (np.flatnonzero(recurred), np.flatnonzero(~recurred)):
      picked = group[k_centre(entries[group], slots - len(order), centres).chosen]
      order = np.concatenate([order, picked])
      centres = np.concatenate([centres, entries[picked]])
  slot = int(keep.sum()) + np.arange(len(order))
  filled = np.arange(len(keep)) < keep.sum() + len(order)
  bank = np.where(keep[:, None], memory.entries, np.float32(0))
  codes = np.where(keep[:, None], memory.voters, np.uint64(0))
  bank[slot], codes[slot] = entries[order], voters[order]
  return Memory(bank, filled, keep, codes, np.int64(memory.offered + len(new)))


def _keep_reservoir(
  memory: Memory, new: Array, subject: np.uint64, rng: np.random.Generator
) -> Memory:
  """Keeps a uniform sample of all descriptors that asked for a slot.

  Algorithm R (Vitter 1985): the n-th one replaces a random entry with probability
  slots / n.
  """
  first = int(memory.frozen.sum())
  entries, voters = memory.entries.copy(), memory.voters.copy()
  filled, offered = memory.filled.copy(), int(memory.offered)
  vote = _one_vote(memory, 1, subject)[0]
  for vector in new:
    offered += 1
    empty = np.flatnonzero(~filled)
    slot = empty[0] if len(empty) else first + int(rng.integers(offered))
    if slot < len(entries):
      entries[slot], voters[slot], filled[slot] = vector, vote, True
  return Memory(entries, filled, memory.frozen, voters, np.int64(offered))


Evict = Callable[[Memory, Array, np.uint64, np.random.Generator], Memory]
EVICTIONS: dict[str, Evict] = {'coreset': _keep_coreset, 'reservoir': _keep_reservoir}
"""Functions (memory, new entries, subject, generator) -> memory, by name."""
