"""Functions that find the scans in a folder by file patterns (layouts)."""

import functools
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from uad_jax.data.cohorts import participants, sessions
from uad_jax.data.cohorts.entry import COMPANIONS, Entry
from uad_jax.data.cohorts.flat_names import SHORT
from uad_jax.data.cohorts.people import Lookup
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.data.preprocessing.preprocess import DLMUSE

BIDS_SUBJECT = r'(?:^|/)(sub-[A-Za-z0-9]+)'
BIDS_SESSION = r'(?:^|/|_)(ses-[A-Za-z0-9]+)'
"""Regular expressions for the subject and the session in a BIDS path."""


class Layout(NamedTuple):
  """File patterns that find the scans, masks and labels below a source folder.

  Attributes:
    image: Glob pattern of the scans.
    mask: Glob pattern of the brain masks; '' if there are none.
    labels: Glob pattern of the anatomical labels; '' if there are none.
    lesion: Glob pattern of the lesion masks; '' if there are none.
    twin: Glob pattern of the lesion-free twins of the scans; '' if there are none.
    subject: Regular expression on a path below the source; its groups, joined by '-',
      are the name of the subject, or the whole match if it has no groups.
    session: Regular expression on this path; group 1 (or the whole match) is the
      session. '' for cohorts without sessions.
    table: Tab-separated table with the column participant_id (filename or image may
      stand for it in other folders than BIDS) and, optionally, session_id, age, split,
      pathology, domain and `entry.PEOPLE`; '' for none.
    label_map: Mapping from a tissue class to its numbers in the label file.
    channel: Index of the volume of a 4-D image that is the scan; None for 3-D files.
    lesion_values: Numbers of the lesion file that mean lesion; None takes the voxels
      above half of its maximum.
    name: Regular expression, ignoring case, that the file name of an image must match.
    several: 'first' takes the first image of a session that has more than one; None
      makes such a session unusable, see `Entry.problem`.
  """

  image: str
  mask: str = ''
  labels: str = ''
  lesion: str = ''
  twin: str = ''
  subject: str = BIDS_SUBJECT
  session: str = BIDS_SESSION
  table: str = 'participants.tsv'
  label_map: Mapping[str, Sequence[int]] = DLMUSE
  channel: int | None = None
  lesion_values: Sequence[int] | None = None
  name: str | None = None
  several: str | None = None


def bids(
  image: str = 'sub-*/**/anat/*_T1w.nii*',
  mask: str = '',
  labels: str = '',
  lesion: str = '',
  twin: str = '',
  label_map: Mapping[str, Sequence[int]] = DLMUSE,
  lesion_values: Sequence[int] | None = None,
  subject: str = BIDS_SUBJECT,
  session: str = BIDS_SESSION,
) -> Layout:
  """Makes the layout of a BIDS folder: the patterns by which its files are searched.

  Args:
    image: Glob pattern of the scans.
    mask: Glob pattern of the brain masks, usually in derivatives/; '' for none.
    labels: Glob pattern of the anatomical labels; '' for none.
    lesion: Glob pattern of the lesion masks; '' for none.
    twin: Glob pattern of the lesion-free twins; '' for none.
    label_map: Mapping from a tissue class to its numbers in the label file.
    lesion_values: Numbers of the lesion file that mean lesion; None for a mask.
    subject: Regular expression of the subject, see `Layout`.
    session: Regular expression of the session, see `Layout`.
  """
  return Layout(
    image,
    mask,
    labels,
    lesion,
    twin,
    subject,
    session,
    label_map=label_map,
    lesion_values=lesion_values,
  )


def lesion_cohort(
  image: str = 'sub-*/**/anat/*_T1w.nii*', labelled: bool = True
) -> Layout:
  """Returns the file patterns (layout) of a folder of scans with inserted lesions.

  `python -m uad_jax.prepare lesions` writes such a folder.

  Args:
    image: Glob pattern of the scans.
    labelled: Whether there are anatomical labels.
  """
  return bids(
    image,
    labels='derivatives/labels/sub-*/**/*_dseg.nii*' if labelled else '',
    lesion='derivatives/lesions/sub-*/**/*_mask.nii*',
    twin='derivatives/twin/sub-*/**/*_desc-healthy_*.nii*',
  )


def flat(
  image: str = '*.nii*',
  mask: str = '',
  labels: str = '',
  lesion: str = '',
  twin: str = '',
  subject: str = SHORT,
  label_map: Mapping[str, Sequence[int]] = DLMUSE,
  lesion_values: Sequence[int] | None = None,
  session: str = '',
) -> Layout:
  """Returns the layout of a folder whose files are named in any way.

  The participant_id of its table of subjects is the subject, with or without `sub-`; or
  its column filename or image names the files.

  Args:
    image: Glob pattern of the scans.
    mask: Glob pattern of the brain masks; '' for none.
    labels: Glob pattern of the anatomical labels; '' for none.
    lesion: Glob pattern of the lesion masks; '' for none.
    twin: Glob pattern of the lesion-free twins; '' for none.
    subject: Regular expression whose group is the subject; by default the file name up
      to its first dot or underscore, or the whole name where several images share that
      (`flat_names`).
    label_map: Mapping from a tissue class to its numbers in the label file.
    lesion_values: Numbers of the lesion file that mean lesion; None for a mask.
    session: Regular expression whose group is the session; '' for no sessions.
  """
  return Layout(
    image,
    mask,
    labels,
    lesion,
    twin,
    subject,
    session,
    label_map=label_map,
    lesion_values=lesion_values,
  )


LAYOUTS = {f.__name__: f for f in (bids, flat, lesion_cohort)}
"""Functions that return the file patterns of a folder (layouts), by name."""


def find(source: str, layout: Layout, lookup: Lookup | None = None) -> list[Entry]:
  """Finds the scans of a folder and returns them sorted by subject and session.

  The numbers of subjects and scans are printed to stderr, with notes on ignored files,
  on subjects named after files, and on subjects that the table lacks. A scan with
  missing or ambiguous files is returned too; its field `problem` describes the error.

  Args:
    source: Path of the folder.
    layout: Patterns of the files.
    lookup: Function from a scan to its row of the table of subjects; None reads the
      table that the layout names.

  Raises:
    BadScan: The source is not a folder, or has no image that matches the layout; a
      pattern cannot be used; or the table cannot be read or fits no subject.
  """
  root = pathlib.Path(source)
  if not root.is_dir():
    raise BadScan(f'{source} is not a folder; allowed is one with NIfTI files')
  images = sessions.images(root, layout)
  if not images.files:
    more = ''.join(f' ({note})' for note in images.notes)
    raise BadScan(
      f"{source} has no image that matches '{layout.image}'{more}; allowed is a "
      'folder with one or more'
    )
  companions = {
    kind: sessions.companions(root, getattr(layout, kind), layout, images.names)
    for kind in COMPANIONS
    if getattr(layout, kind)
  }
  path = root / layout.table if layout.table and lookup is None else None
  scans = (
    None if layout.subject == BIDS_SUBJECT else sessions.by_file(root, images.files)
  )
  table = participants.read_table(path, scans) if path else {}
  rows = participants.row_of_file if images.names else participants.row_of
  lookup = lookup or functools.partial(rows, table)
  entries = []
  for key, paths in sorted(images.files.items()):
    facts = lookup(Entry(*key, image=paths[0]))
    entries.append(sessions.entry(layout, key, paths, companions, facts))
  notes = [*images.notes]
  if path:
    notes += participants.unmatched(table, entries, path)
    notes += participants.other_tables(path)
  tell(source, entries, notes)
  return entries


def images_of(root: pathlib.Path, layout: Layout) -> sessions.Files:
  """Finds the image files below a folder that match the patterns of a layout.

  Returns:
    Mapping from (subject, session) to the paths of its images.
  """
  return sessions.images(root, layout).files


def tell(source: str, entries: Sequence[Entry], notes: Sequence[str] = ()) -> None:
  """Prints the numbers of subjects and scans of a folder, and further lines."""
  subjects = len({entry.subject for entry in entries})
  counts = [
    f'{n} {noun}{"" if n == 1 else "s"}'
    for n, noun in ((subjects, 'subject'), (len(entries), 'scan'))
  ]
  for sentence in (', '.join(counts), *notes):
    tell_note(source, sentence)


@functools.lru_cache(1000)
def tell_note(source: str, sentence: str) -> None:
  """Prints a message about a folder to stderr, once in a process.

  Later calls with the same message print nothing, as a builder searches a folder
  repeatedly.
  """
  print(f'{source}: {sentence}', file=sys.stderr, flush=True)
