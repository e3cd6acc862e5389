"""Classes and functions that describe a public MRI data set and find its scans.

Such a data set is called a cohort.

The description of a cohort holds the file names that its provider uses, how to read
its table of subjects, and how subjects are split.
"""

import functools
import inspect
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from uad_jax.data.cohorts import layout as layouts
from uad_jax.data.cohorts import splits
from uad_jax.data.cohorts.entry import Entry
from uad_jax.data.cohorts.people import Reader, no_table
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.ops.choices import check_choice


class Tree(NamedTuple):
  """Description of the folders and file names in one release of a public data set.

  Attributes:
    name: Name of the release, such as '2020'.
    layout: Patterns of the files; '{contrast}' in the patterns of the image stands for
      the provider's spelling of the contrast.
    contrasts: From a contrast to the provider's spelling, such as {'t1': 'T1w'}.
    picture: Example paths, shown in the instructions for getting the cohort.
    channels: From a contrast to the index of its volume, if the files are 4-D.
  """

  name: str
  layout: layouts.Layout
  contrasts: Mapping[str, str]
  picture: str
  channels: Mapping[str, int] = {}

  def of(self, contrast: str) -> layouts.Layout:
    """Returns the file patterns to find the scans of one contrast in this release."""
    spelled = self.contrasts[contrast]
    return self.layout._replace(
      image=self.layout.image.replace('{contrast}', spelled),
      name=self.layout.name and self.layout.name.replace('{contrast}', spelled),
      channel=self.channels.get(contrast),
    )


class Download(NamedTuple):
  """Archive of scans that can be downloaded directly, without asking for access.

  Attributes:
    url: Address of the archive.
    md5: MD5 of the archive, in hexadecimal digits.
  """

  url: str
  md5: str


class Cohort(NamedTuple):
  """Description of a public brain MRI data set: source, licence, files and subjects.

  Attributes:
    name: Name of the TFDS builder.
    title: One line that describes the data set.
    paper: Publication to cite.
    homepage: Web page of the data set, with its application form or its download.
    licence: Licence, in a few words.
    tesla: Field strengths of the scanners, in tesla.
    subjects: Number of subjects that the provider states.
    healthy: Whether it is a cohort of healthy subjects, for training; its patients, if
      any, go to the split 'patients'.
    trees: File trees of the releases.
    access: One or two sentences on how to get the data.
    pathology: Pathology of the scans with a lesion, such as 'ms'.
    people: Reader of the provider's table of subjects, see `people.Reader`.
    downloads: From a contrast, or '' for all contrasts, to an archive.
    together: Whether all file trees that are present are read together; if not, one
      must be chosen.
    site: Regular expression on the path of a scan; its group 1 is the site, and the
      domain is NAME-SITE.
    search: Function (folder, contrast) -> scans, for files that are not NIfTI; None
      searches by the layouts.
  """

  name: str
  title: str
  paper: str
  homepage: str
  licence: str
  tesla: str
  subjects: int
  healthy: bool
  trees: Sequence[Tree]
  access: str
  pathology: str = 'lesion'
  people: Reader = no_table
  downloads: Mapping[str, Download] = {}
  together: bool = False
  site: str = ''
  search: Callable[[pathlib.Path, str], list[Entry]] | None = None

  @property
  def contrasts(self) -> tuple[str, ...]:
    """Names of all MRI contrasts that the cohort has, in any of its releases."""
    return tuple(dict.fromkeys(c for tree in self.trees for c in tree.contrasts))

  @property
  def fractions(self) -> Mapping[str, float]:
    """Default fraction of the subjects in each split of the cohort.

    The fractions hold for subjects whose split neither a table nor a list names.
    """
    return splits.HEALTHY if self.healthy else splits.LESIONS

  @property
  def instructions(self) -> str:
    """Text that tells users how to get the cohort and how to arrange its files."""
    pictures = '\n\n'.join(
      f'[{t.name}]\n{inspect.cleandoc(t.picture)}' for t in self.trees
    )
    return (
      f'{self.title}. {self.access} {self.homepage}\n'
      f'Unpack it, and give the folder by --source, or put it into the manual_dir. '
      f'Expected is one of these trees (at the folder or below it):\n\n{pictures}'
    )


def check(cohort: Cohort, contrast: str, tree: str = '') -> None:
  """Checks that a cohort has the requested contrast and the requested release.

  Args:
    cohort: The cohort.
    contrast: Name of a contrast.
    tree: Name of a release (file tree); '' accepts any.

  Raises:
    ValueError: The cohort lacks the contrast or the file tree.
  """
  where = f"dataset '{cohort.name}'"
  check_choice('contrast', contrast, cohort.contrasts, where)
  if tree:
    check_choice('tree', tree, (t.name for t in cohort.trees), where)


def find(
  source: str, cohort: Cohort, contrast: str, tree: str = ''
) -> tuple[list[Entry], list[str]]:
  """Finds all scans of one MRI contrast in the source folder of a cohort.

  Args:
    source: Folder of the unpacked archives of the provider.
    cohort: The cohort to search for.
    contrast: One of the contrasts of the cohort.
    tree: Name of the file tree; '' takes the one that the folder holds.

  Returns:
    Scans in the order of subject and session; and one sentence for each session that
    has other contrasts but not this one.

  Raises:
    BadScan: The source is not a folder, holds no such scan, or holds several releases
      and none was chosen.
    ValueError: The cohort lacks the contrast or the file tree.
  """
  check(cohort, contrast, tree)
  root = pathlib.Path(source)
  if not root.is_dir():
    raise BadScan(
      f'{source} is not a folder; allowed is one with the files of {cohort.name}'
    )
  if cohort.search is not None:
    entries, absent = cohort.search(root, contrast), []
    layouts.tell(source, entries)
  else:
    entries, absent = _in_trees(source, root, cohort, contrast, tree)
  entries = [_with_site(cohort, entry) for entry in entries]
  return sorted(entries, key=lambda e: (e.subject, e.session)), absent


def _in_trees(source, root, cohort, contrast, tree):
  """Scans in the file trees that the folder holds, and sentences on absent scans."""
  candidates = [
    t for t in cohort.trees if contrast in t.contrasts and tree in ('', t.name)
  ]
  present = [t for t in candidates if layouts.images_of(root, t.of(contrast))]
  if not present:
    expected = ' or '.join(f"'{t.of(contrast).image}'" for t in candidates)
    raise BadScan(
      f'{source} has no {contrast} image of {cohort.name}; expected is {expected}'
    )
  if len(present) > 1 and not cohort.together:
    raise BadScan(
      f'{source} holds the releases {" and ".join(t.name for t in present)} of '
      f'{cohort.name}; choose one by --tree'
    )
  lookup, entries, absent = cohort.people(root), [], []
  for release in present:
    scans = layouts.find(source, release.of(contrast), lookup)
    entries += scans
    absent += _absent(root, release, contrast, {(e.subject, e.session) for e in scans})
  if cohort.people is not no_table and not any(map(lookup, entries)):
    layouts.tell_note(
      source,
      f'the table of subjects of {cohort.name} is missing or names none of these '
      'subjects: age, sex and diagnosis stay unknown',
    )
  return entries, absent


def _absent(root, tree, contrast, sessions) -> list[str]:
  """Sentences on sessions with other contrasts that are not among `sessions`."""
  others = {}
  for other in (name for name in tree.contrasts if name != contrast):
    for key in layouts.images_of(root, tree.of(other)):
      others.setdefault(key, []).append(other)
  return [
    f'{" ".join(filter(None, key))} has {", ".join(names)} but no {contrast}'
    for key, names in sorted(others.items())
    if key not in sessions
  ]


def _with_site(cohort: Cohort, entry: Entry) -> Entry:
  """The entry with the site and domain of its path, and the cohort's pathology."""
  match = re.search(cohort.site, entry.image) if cohort.site else None
  if match:
    domain = f'{cohort.name}-{match[1].lower()}'
    entry = entry._replace(people={**entry.people, 'site': match[1]}, domain=domain)
  if entry.pathology == 'lesion':
    entry = entry._replace(pathology=cohort.pathology)
  return entry


@functools.cache
def listed(folder: pathlib.Path) -> Mapping[str, str]:
  """Reads the split of each subject of a data set from the file splits.txt.

  Args:
    folder: Folder of the code of the TFDS builder, see `cohort_builder.folder_of`.

  Returns:
    Subject to split; empty if the folder has no splits.txt.
  """
  path = folder / 'splits.txt'
  return splits.read(path) if path.is_file() else {}
