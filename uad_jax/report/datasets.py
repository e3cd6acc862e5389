"""Functions that render docs/datasets.md, the page about cohorts and preprocessing.

They also render the sections of docs/results.md about preprocessing and reading speed.
"""

import collections
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uad_jax.data.cohorts import cohort_builder
from uad_jax.data.cohorts.cohort import Cohort, listed
from uad_jax.data.preprocessing import presets
from uad_jax.evaluation.bootstrap import mean_of
from uad_jax.report import own_folder, table_scans
from uad_jax.report.tables import markdown

HEAD = """# Data sets

Made by `python -m uad_jax.prepare table`; do not edit.

A cohort is built from what its provider's own download unpacks to:

```
python -m uad_jax.prepare build NAME --source=DIR --contrast=t1
python -m uad_jax.prepare check NAME
```

`python -m uad_jax.prepare list NAME` tells how to get it and which files are expected.
`--form=volumes`, `--preset=baur2021` and others change what is built; `build --help`
lists them. The preprocessing runs inside the package; every volume has a SHA-256 in
`manifest.json`, and runs on unequal data are never put in one table.

## Cohorts
"""

SPLITS = """
Split sizes are those of the list beside the builder
(`uad_jax/datasets/NAME/splits.txt`, made by `python -m uad_jax.prepare splits NAME
--source=DIR`). A subject that no list names falls by the SHA-256 of his name to train,
val, test by 70, 10, 20 % (healthy cohorts) or few_shot, val_lesion, test by 10, 20,
70 % (patients). Subjects of a healthy cohort who are not known to be healthy go to the
split `patients`, with all of their sessions.
"""

PRESETS = """## Presets
"""


def split_sizes(cohort: Cohort) -> str:
  """Formats the number of subjects in each split of a cohort as text.

  An example is 'test 9, val 3'. The splits are those of the cohort's splits.txt;
  without one the text is 'by hash'.
  """
  splits = listed(cohort_builder.folder_of(cohort.name))
  if not splits:
    return 'by hash'
  counts = collections.Counter(splits.values())
  return ', '.join(f'{split} {counts[split]}' for split in sorted(counts))


def cohort_table(cohorts: Sequence[Cohort]) -> str:
  """Renders a Markdown table of cohorts with their subjects, contrasts and licences."""
  head = (
    'cohort', 'subjects', 'kind', 'contrasts', 'tesla', 'licence', 'splits (listed)',
    'preset', 'releases', 'paper',
  )  # fmt: skip
  rows = [
    (
      f'[`{c.name}`]({c.homepage})',
      str(c.subjects),
      'healthy' if c.healthy else c.pathology,
      ', '.join(c.contrasts),
      c.tesla,
      c.licence,
      split_sizes(c),
      f'`{presets.DEFAULT}`',
      ', '.join(t.name for t in c.trees),
      c.paper,
    )
    for c in cohorts
  ]
  return markdown(head, rows) + '\n'


def preset_table() -> str:
  """Renders a Markdown table of the preprocessing presets and their steps.

  The steps are those for T1 slices.
  """
  rows = []
  for name, preset in presets.PRESETS.items():
    steps = ', '.join(step for step, _ in preset(presets.Request()))
    rows.append((f'`{name}`', preset.__doc__.strip().splitlines()[0], steps))
  return markdown(('preset', 'after', 'steps (T1 slices)'), rows) + '\n'


def page(cohorts: Sequence[Cohort], folder: pathlib.Path) -> str:
  """Renders the whole page docs/datasets.md in Markdown.

  Args:
    cohorts: Cohorts of the table, in order.
    folder: Folder with the stored measurements, such as alignment.json.
  """
  parts = [
    HEAD,
    cohort_table(cohorts),
    SPLITS,
    own_folder.SECTION,
    table_scans.SECTION,
    PRESETS,
    preset_table(),
  ]
  return '\n'.join(parts + measured(QUALITY, folder))


def alignment(stored: Mapping[str, Any]) -> str:
  """Renders the Markdown section that compares methods of affine alignment to MNI152.

  Args:
    stored: Content of alignment.json, from `python -m benchmarks.alignment`.
  """
  by_way = stored['every']
  first = np.array(next(iter(by_way.values()))['ventricle_mm'])
  rows = []
  for way, estimates in stored['ways'].items():
    change = np.array(by_way[way]['ventricle_mm']) - first
    numbers = [interval(estimates[name], digits) for name, digits in MEASURES]
    rows.append(
      (way, *numbers, interval(mean_of(change)._asdict(), 2) if change.any() else '')
    )
  head = (
    'way', 'brain overlap (Dice)', 'ventricle distance in mm', 'CPU seconds',
    'distance less that of the first row',
  )  # fmt: skip
  return (
    f'## Affine alignment to the MNI152\n\n{len(stored["subjects"])} IXI heads, brain '
    'masks from their labels; mean with the 95 % bootstrap interval over subjects. The '
    "distance is that of the lateral ventricles' centre to the template's. `python -m "
    'benchmarks.alignment`.'
    f'\n\n{markdown(head, rows)}\n'
  )


MEASURES = (('overlap', 3), ('ventricle_mm', 2), ('seconds', 2))


def stripping(stored: Mapping[str, Any]) -> str:
  """Renders the Markdown section about the accuracy of skull stripping.

  Args:
    stored: Content of preprocessing.json, from `python -m benchmarks.preprocessing`.
  """
  rows = [
    (way, interval(dice['mean'], 3), f'{dice["min"]:.3f}', str(dice['subjects']))
    for way, dice in stored['stripping'].items()
  ]
  return (
    '## Skull stripping without a network\n\n'
    'Dice with the automatic labels of the IXI heads (closed and filled): the rough '
    "brain by Otsu's threshold, and the step `brain_mask` with how='template', which "
    "aligns it, keeps what is bright within 4 mm of the template's outline, and aligns "
    'anew. Measured on T1 heads of one scanner; other contrasts were not. '
    '`python -m benchmarks.preprocessing`.\n\n'
    f'{markdown(("way", "mean Dice", "lowest", "heads"), rows)}\n'
  )


def preprocessing(stored: Mapping[str, Any]) -> str:
  """Renders the Markdown section about the time and memory that preprocessing takes.

  Args:
    stored: Content of preprocessing.json, from `python -m benchmarks.preprocessing`.
  """
  volume, building = stored['volume'], stored['building']
  size = ' x '.join(str(n) for n in volume['shape'])
  return (
    '## Preprocessing\n\n'
    f'A whole head of {size} voxels at 1 mm (check, reorient, strip, correct, align, '
    f'resample, normalise): {volume["seconds"]:.1f} s and {volume["gib"]:.2f} GiB on '
    f'one core. {building["subjects"]} IXI heads, without masks, by two processes: '
    f'{building["minutes"]:.1f} minutes. `python -m benchmarks.preprocessing`.\n'
  )


def reading(stored: Mapping[str, Any]) -> str:
  """Renders the Markdown section about how many slices a data stream reads per second.

  Args:
    stored: Content of reading.json, from `python -m benchmarks.reading`.
  """
  about = stored['about']
  size = ' x '.join(str(n) for n in about['slice'])
  rows = [
    (name, f'{rates["per_second"]:,.0f}', f'{rates["per_core_second"]:,.0f}')
    for name, rates in stored['slices'].items()
  ]
  return (
    f'## Reading\n\nSlices of {size} a second, batches of {about["batch"]}, '
    f'{about["cores"]} cores; `python -m benchmarks.reading`. The stream gives '
    f'{stored["stream_to_step"]:.0f} times what a training step of `ae` takes on these '
    f'cores; {about["target"]:,} a second were asked for of 16 cores.\n\n'
    f'{markdown(("what", "a second", "a second of one core"), rows)}\n'
  )


def interval(estimate: Mapping[str, float], digits: int) -> str:
  """Formats an estimate with its 95 % interval as the text 'value [low, high]'.

  Args:
    estimate: 'value', 'low' and 'high', as in `bootstrap.Interval`.
    digits: Number of decimals.
  """
  value, low, high = (f'{estimate[k]:.{digits}f}' for k in ('value', 'low', 'high'))
  return f'{value} [{low}, {high}]'


ALIGNMENT, PREPROCESSING, READING = 'alignment', 'preprocessing', 'reading'
"""Names of the JSON files with stored measurements."""

QUALITY = ((alignment, ALIGNMENT), (stripping, PREPROCESSING))
"""Sections of docs/datasets.md: rendering function and name of the JSON file."""

SPEED = ((preprocessing, PREPROCESSING), (reading, READING))
"""Sections of docs/results.md: rendering function and name of the JSON file."""


def measured(sections, folder: pathlib.Path) -> list[str]:
  """Renders the Markdown sections whose stored measurements exist as JSON files.

  Args:
    sections: Pairs of a rendering function and the name of its JSON file, see QUALITY.
    folder: Folder of the JSON files; a section without its file is left out.
  """
  paths = [(section, folder / f'{name}.json') for section, name in sections]
  return [
    section(json.loads(path.read_text())) for section, path in paths if path.is_file()
  ]
