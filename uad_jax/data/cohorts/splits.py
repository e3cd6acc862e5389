"""Functions that assign subjects to splits (train, val, test, ...).

The splits come from a table of subjects, a split list, or a hash of the name.

A split list is a text file with a subject and its split on each line; `#` begins a
comment.
"""

import hashlib
import math
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence

from uad_jax.data.preprocessing.nifti import BadScan

HEALTHY = {'train': 0.7, 'val': 0.1, 'test': 0.2}
"""Mapping from split to fraction of the subjects, for cohorts of healthy subjects."""

LESIONS = {'few_shot': 0.1, 'val_lesion': 0.2, 'test': 0.7}
"""Mapping from split to fraction of the subjects, for cohorts of patients."""

PATIENTS = 'patients'
"""Name of the split for subjects of a healthy cohort not known to be healthy."""

NAME = re.compile(r'[\w-]{1,100}')
"""Pattern of the names of splits that TFDS and the configs can read."""


def read(path: str | pathlib.Path) -> dict[str, str]:
  """Reads a split list, a text file that assigns subjects to splits.

  Args:
    path: Text file with a subject and its split on each line.

  Returns:
    Subject to split.

  Raises:
    BadScan: A line does not hold two words, or a subject is in two splits.
  """
  path, pairs = pathlib.Path(path), []
  try:
    text = path.read_text('utf-8-sig')
  except UnicodeDecodeError as error:
    raise BadScan(f'{path} is no UTF-8 text; save it as text in UTF-8') from error
  for number, line in enumerate(text.splitlines(), 1):
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
  """Writes a split list, a text file with one line per subject, sorted by subject.

  Args:
    listed: Subject to split.
    path: Path of the text file.
    comment: First line of the file, after '# '; '' for none.
  """
  lines = [f'# {comment}'] if comment else []
  lines += [f'{subject}\t{split}' for subject, split in sorted(listed.items())]
  pathlib.Path(path).write_text('\n'.join(lines) + '\n')


def deal(subjects: Iterable[str], fractions: Mapping[str, float]) -> dict[str, str]:
  """Divides subjects pseudo-randomly into splits with the given fractions of subjects.

  The order is that of the hashes of the names. Sizes are rounded by the largest
  remainder method; with as many subjects as splits or more, no split is empty.

  Args:
    subjects: Names of the subjects.
    fractions: Split to fraction of the subjects; need not sum to 1.

  Returns:
    Subject to split. The order of `subjects` has no influence.
  """
  order = sorted(set(subjects), key=_place)
  total, count = sum(fractions.values()), len(order)
  shares = {split: count * part / total for split, part in fractions.items()}
  sizes = {split: math.floor(share) for split, share in shares.items()}
  if count >= len(sizes):
    sizes = {split: max(size, 1) for split, size in sizes.items()}
  while sum(sizes.values()) != count:
    step = 1 if sum(sizes.values()) < count else -1
    candidates = [s for s in sizes if step > 0 or sizes[s] > 1]
    sizes[max(candidates, key=lambda s: step * (shares[s] - sizes[s]))] += step
  splits = [split for split, size in sizes.items() for _ in range(size)]
  return dict(zip(order, splits, strict=True))


def assign(
  entries: Sequence,
  fractions: Mapping[str, float],
  listed: Mapping[str, str] | None = None,
  healthy: bool = False,
) -> list:
  """Assigns each scan of a data set to a split, such as train or test.

  If the table of subjects names splits, they are used unchanged. Otherwise a subject
  gets its split from the split list, or by the hash of its name; then it keeps its
  split when other subjects are added or removed. Several subjects of one person, such
  as two visits in a flat folder, get that of the first of them.

  Args:
    entries: Scans, of type `entry.Entry`.
    fractions: Split to fraction of the subjects, for subjects that are not listed.
    listed: Subject to split.
    healthy: Whether the cohort is one of healthy subjects: a subject with a pathology
      in any session then goes to the split 'patients' with all sessions.

  Returns:
    The scans with `split` set.

  Raises:
    BadScan: The table names splits for some scans only, or a subject is in two splits.
  """
  named = [entry for entry in entries if entry.split]
  if named and len(named) < len(entries):
    without = [entry for entry in entries if not entry.split]
    names = [f'{entry.subject} {entry.session}'.strip() for entry in without]
    more = f' and {len(names) - 5} more' if len(names) > 5 else ''
    raise BadScan(
      f'{without[0].image} has no split in the table and others have; allowed is a '
      f'split for each scan or for none, {len(names)} of {len(entries)} scans have '
      f'none: {", ".join(names[:5])}{more}'
    )
  if not named:
    _check_fractions(fractions)
    patients = ill(entries) if healthy else set()
    firsts: dict[str, str] = {}
    for subject, person in sorted((e.subject, e.person or e.subject) for e in entries):
      firsts.setdefault(person, subject)

    def split(subject):
      if subject in patients:
        return PATIENTS
      return (listed or {}).get(subject) or hashed_split(subject, fractions)

    entries = [e._replace(split=split(firsts[e.person or e.subject])) for e in entries]
  check_splits(((e.person or e.subject, e.split) for e in entries), 'the folder')
  return list(entries)


def ill(entries: Sequence) -> set[str]:
  """Returns the subjects that have a pathology in one or more of their sessions."""
  return {entry.subject for entry in entries if entry.pathology != 'none'}


def hashed_split(subject: str, fractions: Mapping[str, float]) -> str:
  """Returns the split of a subject, chosen by a hash of its name.

  Args:
    subject: Name of the subject.
    fractions: Split to fraction of the subjects; scaled to the sum 1. In this order
      they divide the interval [0, 1), in which the hash lies.
  """
  place = _place(subject)
  total = sum(fractions.values())
  for split, fraction in fractions.items():
    place -= fraction / total
    if place < 0:
      return split
  return split


def check_splits(pairs: Iterable[tuple[str, str]], where: str) -> None:
  """Checks that no subject is in two splits and that the split names are valid.

  A subject in two splits would be a data leak. Splits whose names agree up to the first
  underscore, such as val and val_lesion, may share subjects.

  Args:
    pairs: Pairs (subject, split).
    where: Source of the pairs, for the error message.

  Raises:
    BadScan: A subject is in two splits, or the name of a split is not valid.
  """
  first_splits = {}
  for subject, split in pairs:
    if not NAME.fullmatch(split) or split.lower() == 'all':
      raise BadScan(
        f"{where} has {subject} in the split '{split[:100]}'; allowed are names of up "
        "to 100 letters, digits, _ and -, except 'all'"
      )
    first = first_splits.setdefault(subject, split)
    if first.split('_')[0] != split.split('_')[0]:
      raise BadScan(
        f"{where} has {subject} in the splits '{first}' and '{split}'; allowed is one "
        'split a subject'
      )


def _check_fractions(fractions: Mapping[str, float]) -> None:
  """Checks that fractions can divide subjects: none negative, and one above 0."""
  parts = list(fractions.values())
  if not all(0 <= part < math.inf for part in parts) or not sum(parts) > 0:
    raise BadScan(
      f'the fractions of the splits are {dict(fractions)}; allowed are numbers of 0 or '
      'more, and one above 0'
    )


def _place(subject: str) -> float:
  """Hash of a name as a number in [0, 1)."""
  return int(hashlib.sha256(subject.encode()).hexdigest()[:12], 16) / 16**12
