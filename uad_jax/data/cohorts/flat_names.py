"""Functions that derive subject names from the file names of a folder of scans.

The short name of a file ends before its first dot or underscore; its whole name ends
before the suffix, such as .nii.gz. A subject has the short name; but if several files
share it, such as siteA_0.nii and siteA_1.nii, each is a subject with its whole name.
Files that differ in a word of `KINDS`, such as p1_t1.nii and p1_t2.nii, still share one
subject.
"""

import collections
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from uad_jax.data.cohorts.people import few
from uad_jax.data.cohorts.scan_files import fixed_part
from uad_jax.data.preprocessing.nifti import SUFFIXES, BadScan

SHORT = r'([^/._]+)[^/]*$'
"""Regular expression of a file name up to its first dot or underscore."""

KINDS = frozenset(
  't1 t1w t1c t1ce t1gd t1n t2 t2w t2f t2s t2star flair pd pdw dwi adc swi bold asl '
  'mra mprage mask brainmask seg segmentation dseg probseg label labels lesion '
  'lesions gt truth groundtruth roi brain'.split()
)
"""Words of file names that tell a contrast or a kind of file, in small letters.

Files that differ in such a word are those of one person, not of several.
"""


class Names(NamedTuple):
  """Subject names of the images of a folder.

  Attributes:
    subjects: Mapping from the path of each image, relative to the folder, to its
      subject.
    cores: Mapping from shortened whole names to subjects, only for subjects with whole
      names. The ending that all images with the same short name share is removed, such
      as '_t1' of 'siteA_0_t1' and 'siteA_1_t1'.
    note: Message for the user about subjects with whole names; '' if there are none.
  """

  subjects: Mapping[str, str]
  cores: Mapping[str, str]
  note: str = ''


def of_images(sessions: Mapping[str, str], pattern: str) -> Names:
  """Derives the subject names of the images of a folder from their file names.

  Args:
    sessions: Mapping from the path of each image, relative to the folder, to its
      session; '' for no session.
    pattern: Glob pattern of the images; the folders at its beginning that have no
      wildcard are not part of the names.
  """
  groups = collections.defaultdict(list)
  for path, session in sessions.items():
    groups[_short(path), session].append(path)
  subjects, cores, shared = {}, {}, []
  for (short, _), paths in groups.items():
    whole = {path: _whole(path, pattern) for path in paths}
    if len(paths) == 1 or _differ_in_kind(whole.values()):
      subjects |= dict.fromkeys(paths, short)
      continue
    subjects |= whole
    shared += paths
    end = len(_common_end(list(whole.values())))
    cores |= {name[: len(name) - end]: name for name in whole.values()}
  return Names(subjects, cores, _note(shared, subjects))


def of_companion(path: str, pattern: str, names: Names) -> str:
  """Returns the subject that a mask, label or lesion file belongs to.

  This is the subject in `names.cores` with the longest key that the file name begins
  with; without such a key, it is the short name of the file.

  Args:
    path: Path of the file, relative to the folder.
    pattern: Glob pattern of the files of this kind.
    names: Subject names of the images.
  """
  for whole in (_whole(path, pattern), _whole(path.split('/')[-1], '*')):
    ends = [m.start() for m in re.finditer(r'[._-]', whole)]
    for end in [len(whole), *reversed(ends)]:
      if whole[:end] in names.cores:
        return names.cores[whole[:end]]
  return _short(path)


def stem(path: str) -> str:
  """Returns a path without the suffix of a NIfTI file.

  >>> stem('x/a.1.nii.gz')
  'x/a.1'
  """
  for suffix in sorted(SUFFIXES, key=len, reverse=True):
    if path.lower().endswith(suffix):
      return path[: -len(suffix)]
  return path


def check_twice(images: Mapping[str, str]) -> None:
  """Checks that no image lies beside one that differs from it in the suffix only.

  Args:
    images: Mapping from the path of each image, relative to the folder, to its path.

  Raises:
    BadScan: There are two, such as a.nii and a.nii.gz.
  """
  stems = {}
  for name, path in images.items():
    first = stems.setdefault(stem(name), path)
    if first != path:
      raise BadScan(
        f'{first} and {path} have one name but for the suffix; allowed is one of them: '
        'remove the other, or narrow config.data.patterns.image'
      )


def _short(path: str) -> str:
  match = re.search(SHORT, path)
  return match[1] if match else path


def _whole(path: str, pattern: str) -> str:
  """Folders, below those that the pattern fixes, and name of a file, joined by '-'."""
  fixed = fixed_part(pattern)
  if fixed and path.startswith(f'{fixed}/'):
    path = path[len(fixed) + 1 :]
  return stem(path).replace('/', '-')


def _differ_in_kind(names: Iterable[str]) -> bool:
  """Whether names differ in a word that tells a contrast or a kind of file."""
  words = [set(re.split(r'[._\-\s]+', name.casefold())) & KINDS for name in names]
  return any(kinds != words[0] for kinds in words)


def _common_end(names: list[str]) -> str:
  """Words at the end of all names, with the separator before them; '' for none."""
  shortest = min(names, key=len)
  size = 0
  while size < len(shortest) and len({n[len(n) - size - 1] for n in names}) == 1:
    size += 1
  end = shortest[len(shortest) - size :]
  start = re.search(r'[._-]', end)
  return end[start.start() :] if start and size < len(shortest) else ''


def _note(shared: list[str], subjects: Mapping[str, str]) -> str:
  """Sentence about the images that are named by their whole names."""
  if not shared:
    return ''
  return (
    f'{len(shared)} images share their name up to the first dot or underscore, and '
    f'count as subjects of their own: {few([subjects[path] for path in shared])}; if '
    'several are of one person, who then may be both in training and in test, name '
    "the person by --config.data.patterns.subject='REGEX'"
  )
