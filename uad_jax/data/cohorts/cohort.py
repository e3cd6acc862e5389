"""A cohort as a value: where its provider's files lie, who is in it, what it may do."""

import functools
import inspect
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from uad_jax.data.cohorts import layout as layouts
from uad_jax.data.cohorts import splits
from uad_jax.data.cohorts.people import Reader, nobody
from uad_jax.data.preprocessing.nifti import BadScan


class Tree(NamedTuple):
  """One way in which the provider's files lie.

  Attributes:
    name: Of the release, '2020'.
    layout: Patterns; '{contrast}' in that of the image is spelled as the provider does.
    contrasts: Contrast to the provider's spelling of it.
    channels: Contrast to its volume in a 4-D file, where images are such.
    picture: The tree as text, for the instructions.
  """

  name: str
  layout: layouts.Layout
  contrasts: Mapping[str, str]
  picture: str
  channels: Mapping[str, int] = {}

  def of(self, contrast: str) -> layouts.Layout:
    """The layout of one contrast."""
    spelled = self.contrasts[contrast]
    return self.layout._replace(
      image=self.layout.image.replace('{contrast}', spelled),
      name=self.layout.name and self.layout.name.replace('{contrast}', spelled),
      channel=self.channels.get(contrast),
    )


class Download(NamedTuple):
  """An archive that the licence allows to fetch, with its MD5."""

  url: str
  md5: str


class Cohort(NamedTuple):
  """A data set of the field.

  Attributes:
    name: Of the builder.
    title: In words.
    paper: Its description, to be cited.
    homepage: Where to apply or to download.
    licence: Short.
    tesla: Field strengths.
    subjects: As the provider counts them.
    healthy: Whether it is one of healthy subjects, to be trained on.
    trees: Ways in which its files lie, in the order of trial.
    access: One or two sentences: how to get it.
    pathology: What the lesions are, of a cohort of patients.
    people: Reader of the provider's table.
    downloads: Contrast, or '' for all of them, to an archive.
    together: All trees that are there are read, not only one.
    site: Regular expression on a path; group 1 is the site, which names the domain.
    search: Finds the scans of a contrast where they are no NIfTI files.
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
  people: Reader = nobody
  downloads: Mapping[str, Download] = {}
  together: bool = False
  site: str = ''
  search: Callable[[pathlib.Path, str], list[layouts.Entry]] | None = None

  @property
  def contrasts(self) -> tuple[str, ...]:
    """All contrasts of all trees."""
    return tuple(dict.fromkeys(c for tree in self.trees for c in tree.contrasts))

  @property
  def fractions(self) -> Mapping[str, float]:
    """Parts of the splits, for the subjects that no list names."""
    return splits.HEALTHY if self.healthy else splits.LESIONS

  @property
  def instructions(self) -> str:
    """How to get the cohort and which files are expected where."""
    pictures = '\n\n'.join(
      f'[{t.name}]\n{inspect.cleandoc(t.picture)}' for t in self.trees
    )
    return (
      f'{self.title}. {self.access} {self.homepage}\n'
      f'Unpack it, and give the folder by --source, or put it into the manual_dir. '
      f'Expected is one of these trees (at the folder or below it):\n\n{pictures}'
    )


def check(cohort: Cohort, contrast: str, tree: str = '') -> None:
  """Refuses a contrast or a tree that the cohort has not."""
  if contrast not in cohort.contrasts:
    raise ValueError(
      f"dataset '{cohort.name}' has no contrast '{contrast}'; there are "
      f'{", ".join(cohort.contrasts)}'
    )
  names = [t.name for t in cohort.trees]
  if tree and tree not in names:
    raise ValueError(
      f"dataset '{cohort.name}' has no tree '{tree}'; there are {', '.join(names)}"
    )


def find(
  source: str, cohort: Cohort, contrast: str, tree: str = ''
) -> tuple[list[layouts.Entry], list[str]]:
  """The scans of a cohort's folder in the order of the subjects, and who is absent.

  Args:
    source: The folder that the provider's archives were unpacked to.
    cohort: What to look for.
    contrast: One of the cohort's.
    tree: Name of the tree; '' takes the one that is there.

  Returns:
    Entries, and a sentence for each subject that has other contrasts but not this one.
  """
  check(cohort, contrast, tree)
  root = pathlib.Path(source)
  if not root.is_dir():
    raise BadScan(
      f'{source} is not a folder; allowed is one with the files of {cohort.name}'
    )
  if cohort.search is not None:
    entries, absent = cohort.search(root, contrast), []
  else:
    entries, absent = _in_trees(source, root, cohort, contrast, tree)
  entries = [_placed(cohort, entry) for entry in entries]
  return sorted(entries, key=lambda e: (e.subject, e.session)), absent


def _in_trees(source, root, cohort, contrast, tree):
  able = [t for t in cohort.trees if contrast in t.contrasts and tree in ('', t.name)]
  there = [t for t in able if layouts.images_of(root, t.of(contrast))]
  if not there:
    expected = ' or '.join(f"'{t.of(contrast).image}'" for t in able)
    raise BadScan(
      f'{source} has no {contrast} image of {cohort.name}; expected is {expected}'
    )
  if len(there) > 1 and not cohort.together:
    raise BadScan(
      f'{source} holds the releases {" and ".join(t.name for t in there)} of '
      f'{cohort.name}; choose one by --tree'
    )
  who, entries, absent = cohort.people(root), [], []
  for each in there:
    found = layouts.find(source, each.of(contrast), who)
    entries += found
    absent += _absent(root, each, contrast, {(e.subject, e.session) for e in found})
  return entries, absent


def _absent(root, tree, contrast, found) -> list[str]:
  """Sentences about those who are known by other contrasts only."""
  others = {}
  for other in (each for each in tree.contrasts if each != contrast):
    for key in layouts.images_of(root, tree.of(other)):
      others.setdefault(key, []).append(other)
  return [
    f'{" ".join(filter(None, key))} has {", ".join(names)} but no {contrast}'
    for key, names in sorted(others.items())
    if key not in found
  ]


def _placed(cohort: Cohort, entry: layouts.Entry) -> layouts.Entry:
  """The entry with its site, and the cohort's name for what its lesions are."""
  match = re.search(cohort.site, entry.image) if cohort.site else None
  if match:
    domain = f'{cohort.name}-{match[1].lower()}'
    entry = entry._replace(people={**entry.people, 'site': match[1]}, domain=domain)
  if entry.pathology == 'lesion':
    entry = entry._replace(pathology=cohort.pathology)
  return entry


@functools.cache
def listed(folder: pathlib.Path) -> Mapping[str, str]:
  """The split list beside a builder, empty where there is none."""
  path = folder / 'splits.txt'
  return splits.read(path) if path.is_file() else {}
