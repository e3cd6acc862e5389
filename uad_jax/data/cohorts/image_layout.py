"""Functions that find 2-D images and their lesion masks in folders (layouts).

The layout `folders` reads the trees of the field's benchmarks of anomaly detection:

  MVTec AD      train/good  test/KIND  ground_truth/KIND/NAME_mask.png
  MVTec AD 2    train/good  validation/good  test_public/KIND
                test_public/ground_truth/KIND/NAME_mask.png, or
                ground_truth/SPLIT/KIND/NAME_mask.png
  BMAD          train/good  valid/Ungood/img  valid/Ungood/label/NAME.png
  MedIAnomaly   train  test/normal  test/tumor  test/annotation/NAME.png

Pictures of a folder named in `HEALTHY`, and those that lie in train/ itself, are
healthy; every other picture needs a lesion mask. The layout `patterns` takes globs.
"""

import pathlib
from collections.abc import Sequence

from uad_jax.data.cohorts import scan_files
from uad_jax.data.cohorts.entry import Entry
from uad_jax.data.cohorts.image_subjects import SPLITS, named, sorted_by_subject
from uad_jax.data.preprocessing.nifti import BadScan
from uad_jax.data.preprocessing.picture import SUFFIXES

HEALTHY = ('good', 'normal', 'healthy')
"""Names of folders, in lower case, that hold healthy images."""

MASKS = ('ground_truth', 'label', 'labels', 'annotation', 'mask', 'masks')
"""Names of folders, in lower case, that hold lesion masks."""


def folders(
  source: str, subject: str = '', mask: str = '', table: str = 'participants.tsv'
) -> list[Entry]:
  """Finds the images of a tree whose folders name the split and the kind of image.

  Args:
    source: Folder that holds the folders of the splits.
    subject: Regular expression on an image's path below the source; its groups, joined
      by '-', are the name of the subject. '' takes the file name if the table of
      subjects lists it, else the whole path.
    mask: Path of an image's brain mask below the source, in which {name}, {split},
      {kind} and {folder} are replaced, such as 'brain/{name}.png'; '' computes it.
    table: Tab-separated table of subjects, see `participants.read_table`; it may be
      absent.

  Returns:
    Images sorted by path, with split, kind (as pathology), lesion mask and age.

  Raises:
    BadScan: There are no images, two of a subject are in two splits, or one picture
      occurs in two splits.
  """
  root = _root(source)
  entries = []
  for path in _pictures(root):
    parts = path.relative_to(root).parts
    if len(parts) < 2 or parts[0].lower() not in SPLITS:
      continue
    inner = [part for part in parts[1:-1] if part.lower() != 'img']
    if any(part.lower() in MASKS for part in inner):
      continue
    kind = '/'.join(inner) or 'good'
    split, healthy = SPLITS[parts[0].lower()], kind.lower() in HEALTHY
    if split == 'train' and not healthy:
      continue  # nothing but healthy images is trained on
    lesion = None if healthy else _lesion(root, parts[0], inner, path.stem)
    entry = _entry(root, path, split, healthy, kind, lesion)
    entries.append(_with_mask(entry, root, mask, parts[0]))
  if not entries:
    raise BadScan(
      f'{source} has no pictures in folders such as train/good or test/KIND; allowed '
      'are the trees of MVTec AD, MVTec AD 2, BMAD and MedIAnomaly, or '
      '--config.data.layout=patterns with globs in config.data.patterns'
    )
  return sorted_by_subject(named(entries, root, subject, table))


def patterns(
  source: str,
  train: str = '',
  val: str = '',
  test: str = '',
  healthy: str = '',
  lesion: str = '',
  mask: str = '',
  subject: str = '',
  table: str = 'participants.tsv',
) -> list[Entry]:
  """Finds the images of a folder by one glob pattern a split.

  Args:
    source: Folder of the images.
    train: Glob of the healthy images to train on.
    val: Glob of the validation images; '' sets a part of the training images aside.
    test: Glob of the test images.
    healthy: Glob of healthy images among those of `val` and `test`; every other one
      needs a lesion mask.
    lesion: Path of an image's lesion mask below the source, in which {name} and
      {folder} are replaced, such as 'masks/{name}_seg.png'.
    mask: Path of an image's brain mask, in the same form; '' computes it.
    subject: As for `folders`.
    table: As for `folders`.

  Raises:
    BadScan: `train` matches no picture, or as for `folders`.
  """
  root = _root(source)
  fine = set(scan_files.matches(root, healthy)) if healthy else set()
  entries = []
  for split, pattern in (('train', train), ('val', val), ('test', test)):
    for path in _pictures(root, pattern) if pattern else ():
      is_healthy = split == 'train' or path in fine
      kind = 'none' if is_healthy else 'lesion'
      file = None if is_healthy else _filled(root, lesion, path)
      entry = _entry(root, path, split, is_healthy, kind, file)
      entries.append(_with_mask(entry, root, mask))
  if not any(entry.split == 'train' for entry in entries):
    raise BadScan(
      f"{source} has no picture that matches config.data.patterns.train='{train}'; "
      "allowed is a glob such as 'healthy/*.png'"
    )
  return sorted_by_subject(named(entries, root, subject, table))


LAYOUTS = {f.__name__: f for f in (folders, patterns)}
"""Functions that find the images of a folder (layouts), by name."""


def _root(source: str) -> pathlib.Path:
  root = pathlib.Path(source)
  if not source or not root.is_dir():
    raise BadScan(
      f"data source '{source}' is not a folder; allowed is one with pictures: "
      '--config.data.source=DIR'
    )
  return root


def _pictures(root: pathlib.Path, pattern: str = '**/*') -> list[pathlib.Path]:
  """Pictures below a folder that match a glob, without hidden files."""
  paths = scan_files.scans(root, pattern, suffixes=SUFFIXES)
  return [path for path in paths if path.is_file()]


def _lesion(
  root: pathlib.Path, split: str, kind: Sequence[str], name: str
) -> pathlib.Path | None:
  """The lesion mask of an image, by the places of the benchmarks; None without one."""
  below, inside = pathlib.Path(*kind), root / split
  places = (
    root / 'ground_truth' / below,
    root / 'ground_truth' / split / below,
    *(inside / folder / below for folder in MASKS),
    *(inside / below / folder for folder in MASKS),
    *(inside / folder for folder in MASKS),
  )
  for place in places:
    for stem in (f'{name}_mask', name):
      for suffix in SUFFIXES:
        if (path := place / f'{stem}{suffix}').is_file():
          return path
  return None


def _filled(
  root: pathlib.Path, template: str, path: pathlib.Path, **words: str
) -> pathlib.Path | None:
  """The file that a template such as 'masks/{name}.png' names, if it is there."""
  folder = path.parent.relative_to(root).as_posix()
  try:
    file = root / template.format(name=path.stem, folder=folder, **words)
  except (KeyError, IndexError, ValueError):
    raise BadScan(
      f"the pattern '{template}' is not understood; allowed are paths with {{name}} "
      'and {folder} in braces'
    ) from None
  return file if template and file.is_file() else None


def _with_mask(
  entry: Entry, root: pathlib.Path, template: str, split: str = ''
) -> Entry:
  """The entry with its brain mask, or with a problem if the named one is missing."""
  if not template:
    return entry
  words = {'split': split, 'kind': entry.pathology}
  file = _filled(root, template, pathlib.Path(entry.image), **words)
  if file is None:
    return entry._replace(
      problem=f"{entry.image} has no brain mask by '{template}'; allowed is one a file"
    )
  return entry._replace(mask=str(file))


def _entry(root, path, split, healthy, kind, lesion) -> Entry:
  """The entry of an image, named by its path; a problem if it lacks a lesion mask."""
  entry = Entry(
    subject=path.relative_to(root).with_suffix('').as_posix().replace('/', '-'),
    session='',
    image=str(path),
    split='val_lesion' if split == 'val' and not healthy else split,
    pathology='none' if healthy else kind,
    lesion=None if lesion is None else str(lesion),
  )
  if healthy or lesion is not None:
    return entry
  return entry._replace(
    problem=f'{path} has no lesion mask; allowed is one such as '
    f'ground_truth/{kind}/{path.stem}_mask.png, or a folder named '
    f'{" or ".join(HEALTHY)} for healthy pictures'
  )
