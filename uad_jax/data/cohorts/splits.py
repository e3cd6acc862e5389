"""Which subject belongs to which split: by a list, by a table, or by a hash.

A list is a text file, a subject and its split on each line; `#` begins a comment.
"""

import hashlib
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from uad_jax.data.preprocessing.nifti import BadScan

HEALTHY = {'train': 0.7, 'val': 0.1, 'test': 0.2}
LESIONS = {'few_shot': 0.1, 'val_lesion': 0.2, 'test': 0.7}
PATIENTS = 'patients'
"""Subjects of a healthy cohort who are not healthy, or not known to be."""


def read(path: str | pathlib.Path) -> dict[str, str]:
  """Subject to split of a list; a subject in two splits is refused."""
  path, pairs = pathlib.Path(path), []
  for number, line in enumerate(path.read_text().splitlines(), 1):
    words = line.partition('#')[0].split()
    if not words:
      continue
    if len(words) != 2:
      raise BadScan(
        f"{path} has '{line.strip()}' in line {number}; allowed are a subject and a "
        'split'
      )
    pairs.append(tuple(words))
  check_splits(pairs, str(path))
  return dict(pairs)


def write(
  listed: Mapping[str, str], path: str | pathlib.Path, comment: str = ''
) -> None:
  """Writes a list in the order of the subjects."""
  lines = [f'# {comment}'] if comment else []
  lines += [f'{subject}\t{split}' for subject, split in sorted(listed.items())]
  pathlib.Path(path).write_text('\n'.join(lines) + '\n')


def deal(subjects: Iterable[str], fractions: Mapping[str, float]) -> dict[str, str]:
  """Deals the subjects to splits of exact sizes, in the order of their hashes.

  Sizes are rounded by largest remainders; where there are as many subjects as splits,
  no split stays empty.
  """
  order = sorted(set(subjects), key=_place)
  total, count = sum(fractions.values()), len(order)
  shares = {split: count * part / total for split, part in fractions.items()}
  sizes = {split: math.floor(share) for split, share in shares.items()}
  if count >= len(sizes):
    sizes = {split: max(size, 1) for split, size in sizes.items()}
  while sum(sizes.values()) != count:
    step = 1 if sum(sizes.values()) < count else -1
    able = [s for s in sizes if step > 0 or sizes[s] > 1]
    sizes[max(able, key=lambda s: step * (shares[s] - sizes[s]))] += step
  splits = [split for split, size in sizes.items() for _ in range(size)]
  return dict(zip(order, splits, strict=True))


def assign(
  entries: Sequence,
  fractions: Mapping[str, float],
  listed: Mapping[str, str] | None = None,
  healthy: bool = False,
) -> list:
  """Entries with their splits: the table's, the list's, or by a hash of the subject.

  The hash depends on nothing else, so a subject keeps its split when others come or go.
  A table must name the split of each scan or of none.

  Args:
    entries: `layout.Entry`s.
    fractions: Split to part of the subjects, for those whom no list names.
    listed: Subject to split.
    healthy: The cohort is one of healthy subjects: one with any pathology goes to the
      split 'patients' with all of his sessions.
  """
  named = [entry for entry in entries if entry.split]
  if named and len(named) < len(entries):
    without = next(entry for entry in entries if not entry.split)
    raise BadScan(
      f'{without.image} has no split in the table and others have; allowed is a '
      'split for each scan or for none'
    )
  if not named:
    patients = ill(entries) if healthy else set()

    def split(subject):
      if subject in patients:
        return PATIENTS
      return (listed or {}).get(subject) or hashed_split(subject, fractions)

    entries = [e._replace(split=split(e.subject)) for e in entries]
  check_splits(((e.subject, e.split) for e in entries), 'the folder')
  return list(entries)


def ill(entries: Sequence) -> set[str]:
  """The subjects with a pathology at any session."""
  return {entry.subject for entry in entries if entry.pathology != 'none'}


def hashed_split(subject: str, fractions: Mapping[str, float]) -> str:
  """The split in whose part of [0, 1) the subject's hash falls; fractions sum to 1."""
  at = _place(subject)
  total = sum(fractions.values())
  for split, fraction in fractions.items():
    at -= fraction / total
    if at < 0:
      return split
  return split


def check_splits(pairs: Iterable[tuple[str, str]], where: str) -> None:
  """Refuses a subject in two splits.

  Splits that agree up to the first underscore (val, val_lesion) are variants of the
  same subjects and may share them.
  """
  seen = {}
  for subject, split in pairs:
    before = seen.setdefault(subject, split)
    if before.split('_')[0] != split.split('_')[0]:
      raise BadScan(
        f"{where} has {subject} in the splits '{before}' and '{split}'; allowed is one "
        'split a subject'
      )


def _place(subject: str) -> float:
  """A number in [0, 1) that depends on the name only."""
  return int(hashlib.sha256(subject.encode()).hexdigest()[:12], 16) / 16**12
