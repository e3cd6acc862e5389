"""Functions that name the subjects of a flat folder after its files.

The subject is the file name up to its first dot or underscore. Where this name is that
of several files, as of siteA_0.nii and siteA_1.nii, it is the whole name instead.
"""

import collections
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from uad_jax.data.cohorts.people import few
from uad_jax.data.cohorts.scan_files import fixed_part
from uad_jax.data.preprocessing.nifti import SUFFIXES

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
  """Subjects of the images of a flat folder.

  Attributes:
    subjects: Path of each image below the folder to its subject.
    cores: Whole name of an image, less what all of its likes end with, to its subject,
      for subjects with whole names.
    note: Sentence about the whole names; '' if there are none.
  """

  subjects: Mapping[str, str]
  cores: Mapping[str, str]
  note: str = ''


def of_images(sessions: Mapping[str, str], pattern: str) -> Names:
  """Names the subjects of the images of a flat folder.

  Args:
    sessions: Path of each image below the folder to its session, '' for none.
    pattern: Glob pattern of the images; its folders without wildcards are left out of
      the names.
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
  """Names the subject of a mask, label or lesion file of a flat folder.

  It is the image whose whole name the file name begins with, the longest such name; or
  else the file name up to its first dot or underscore.

  Args:
    path: Path of the file below the folder.
    pattern: Glob pattern of the files of this kind.
    names: Subjects of the images.
  """
  for whole in (_whole(path, pattern), _whole(path.split('/')[-1], '*')):
    ends = [m.start() for m in re.finditer(r'[._-]', whole)]
    for end in [len(whole), *reversed(ends)]:
      if whole[:end] in names.cores:
        return names.cores[whole[:end]]
  return _short(path)


def _short(path: str) -> str:
  match = re.search(SHORT, path)
  return match[1] if match else path


def _whole(path: str, pattern: str) -> str:
  """Folders, below those that the pattern fixes, and name of a file, joined by '-'."""
  fixed = fixed_part(pattern)
  if fixed and path.startswith(f'{fixed}/'):
    path = path[len(fixed) + 1 :]
  for suffix in sorted(SUFFIXES, key=len, reverse=True):
    if path.endswith(suffix):
      path = path[: -len(suffix)]
      break
  return path.replace('/', '-')


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
