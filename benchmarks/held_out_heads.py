"""The heads of docs/registration.md that chose no setting. Writes `data/ixi_held_out`.

  python -m benchmarks.held_out_heads [--source=DIR] [--output=DIR]

The source, data/ixi_more_mixture, is a folder that `uad_jax.prepare lesions` wrote.
Of its first 32 subjects, in the order of their names, the first 8 have the split val
and their healthy scan alone, the next 24 the split test. Files are linked, not copied.
"""

import argparse
import csv
import os
import pathlib
import sys

VAL, TEST = 8, 24
"""Numbers of subjects."""


def link(source: pathlib.Path, output: pathlib.Path) -> None:
  """Writes the folder.

  Args:
    source: Folder of scans with inserted lesions.
    output: Folder to write; it may not exist.

  Raises:
    ValueError: The source has too few subjects.
    FileExistsError: The folder to write exists.
  """
  with open(source / 'participants.tsv', newline='') as file:
    rows = list(csv.DictReader(file, delimiter='\t'))
  subjects = sorted({row['participant_id'] for row in rows})
  if len(subjects) < VAL + TEST:
    raise ValueError(f'{source} has {len(subjects)} subjects; needed are {VAL + TEST}')
  split = dict.fromkeys(subjects[:VAL], 'val')
  split |= dict.fromkeys(subjects[VAL : VAL + TEST], 'test')
  output.mkdir(parents=True)
  for name in ('derivatives', 'dataset_description.json'):
    os.symlink((source / name).resolve(), output / name)
  for subject, part in split.items():
    (output / subject).mkdir()
    for place in sorted((source / subject).iterdir()):
      if part == 'test' or not place.name.startswith('ses-'):
        os.symlink(place.resolve(), output / subject / place.name)
  with open(output / 'participants.tsv', 'w', newline='') as file:
    table = csv.DictWriter(file, rows[0], delimiter='\t', lineterminator='\n')
    table.writeheader()
    for row in rows:
      part = split.get(row['participant_id'])
      if part == 'test' or (part == 'val' and not row['session_id']):
        table.writerow(row | {'split': part})


if __name__ == '__main__':
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--source', default='data/ixi_more_mixture', type=pathlib.Path)
  parser.add_argument('--output', default='data/ixi_held_out', type=pathlib.Path)
  arguments = parser.parse_args()
  try:
    link(arguments.source, arguments.output)
  except (ValueError, OSError) as error:
    sys.exit(f'held_out_heads: {error}')
  print(arguments.output)
