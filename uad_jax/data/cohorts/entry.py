"""Class that holds the file paths of a scan and the known facts about its subject."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

COMPANIONS = ('mask', 'labels', 'lesion', 'twin')
"""Kinds of files that belong to a scan: fields of `Entry` and of `layout.Layout`."""

PEOPLE = ('sex', 'site', 'scanner', 'diagnosis')
"""Columns of a table that are stored unchanged in the details of a record."""


class Entry(NamedTuple):
  """File paths of one scan, and facts about its subject such as age and pathology.

  Attributes:
    subject: Name of the subject.
    session: Name of the session; '' without sessions.
    image: Path of the scan.
    mask: Path of the brain mask, or None.
    labels: Path of the anatomical labels, or None.
    lesion: Path of the lesion mask, or None.
    twin: Path of the lesion-free twin, or None.
    split: Split that the table of subjects names; '' if it names none.
    age: Age in years; nan if unknown.
    pathology: Name of the pathology; 'none' for a healthy scan.
    domain: Name of the scanner or site; '' if unknown.
    problem: Sentence that says why the scan cannot be used; '' if it can.
    people: Sex, site, scanner and diagnosis (`PEOPLE`), as far as known.
    channel: Index of the volume of a 4-D image that is the scan, or None.
    lesion_values: Numbers of the lesion file that mean lesion, or None.
    boxes: Bounding boxes of fastMRI+: (slice, x, y, width, height), in voxels.
    person: Participant of the table of subjects, in a flat folder; '' if unknown. Its
      subjects, which are named after files, share a split.
  """

  subject: str
  session: str
  image: str
  mask: str | None = None
  labels: str | None = None
  lesion: str | None = None
  twin: str | None = None
  split: str = ''
  age: float = float('nan')
  pathology: str = 'none'
  domain: str = ''
  problem: str = ''
  people: Mapping[str, str] = {}
  channel: int | None = None
  lesion_values: Sequence[int] | None = None
  boxes: Sequence[tuple[int, ...]] = ()
  person: str = ''
