"""docs/datasets.md: the cohorts as the builders know them, and what was measured."""

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

## Presets
"""


def split_sizes(cohort: Cohort) -> str:
  """How many subjects of the list beside the builder each split has."""
  found = listed(cohort_builder.folder_of(cohort.name))
  if not found:
    return 'by hash'
  counts = collections.Counter(found.values())
  return ', '.join(f'{split} {counts[split]}' for split in sorted(counts))


def cohort_table(cohorts: Sequence[Cohort]) -> str:
  """One row for each cohort."""
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
  """One row for each preset, with its steps for T1 slices."""
  rows = []
  for name, preset in presets.PRESETS.items():
    steps = ', '.join(step for step, _ in preset(presets.Request()))
    rows.append((f'`{name}`', preset.__doc__.strip().splitlines()[0], steps))
  return markdown(('preset', 'after', 'steps (T1 slices)'), rows) + '\n'


def page(cohorts: Sequence[Cohort], folder: pathlib.Path) -> str:
  """The whole page; the folder holds stored measurements."""
  parts = [HEAD, cohort_table(cohorts), SPLITS, preset_table()]
  return '\n'.join(parts + measured(QUALITY, folder))


def alignment(stored: Mapping[str, Any]) -> str:
  """How the ways to the template compare."""
  every = stored['every']
  first = np.array(next(iter(every.values()))['ventricle_mm'])
  rows = []
  for way, told in stored['ways'].items():
    less = np.array(every[way]['ventricle_mm']) - first
    numbers = [interval(told[name], digits) for name, digits in MEASURES]
    rows.append(
      (way, *numbers, interval(mean_of(less)._asdict(), 2) if less.any() else '')
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
  """How good skull stripping is."""
  rows = [
    (way, interval(told['mean'], 3), f'{told["min"]:.3f}', str(told['subjects']))
    for way, told in stored['stripping'].items()
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
  """How long a scan and a cohort take."""
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
  """How fast slices are read."""
  about = stored['about']
  size = ' x '.join(str(n) for n in about['slice'])
  rows = [
    (name, f'{told["per_second"]:,.0f}', f'{told["per_core_second"]:,.0f}')
    for name, told in stored['slices'].items()
  ]
  return (
    f'## Reading\n\nSlices of {size} a second, batches of {about["batch"]}, '
    f'{about["cores"]} cores; `python -m benchmarks.reading`. The stream gives '
    f'{stored["stream_to_step"]:.0f} times what a training step of `ae` takes on these '
    f'cores; {about["target"]:,} a second were asked for of 16 cores.\n\n'
    f'{markdown(("what", "a second", "a second of one core"), rows)}\n'
  )


def interval(told: Mapping[str, float], digits: int) -> str:
  """An estimate with its interval."""
  value, low, high = (f'{told[k]:.{digits}f}' for k in ('value', 'low', 'high'))
  return f'{value} [{low}, {high}]'


ALIGNMENT, PREPROCESSING, READING = 'alignment', 'preprocessing', 'reading'
"""Names of the stored measurements."""

QUALITY = ((alignment, ALIGNMENT), (stripping, PREPROCESSING))
"""The sections of docs/datasets.md, with the measurements that they tell."""

SPEED = ((preprocessing, PREPROCESSING), (reading, READING))
"""Those of docs/results.md."""


def measured(sections, folder: pathlib.Path) -> list[str]:
  """The sections whose measurements are stored in a folder."""
  paths = [(section, folder / f'{name}.json') for section, name in sections]
  return [
    section(json.loads(path.read_text())) for section, path in paths if path.is_file()
  ]
