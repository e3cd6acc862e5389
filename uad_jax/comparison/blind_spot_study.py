"""Study of the blind spot: does a score that detects lesions fire at other scanners?

The question is that of Heer et al. (MIDL 2021). Healthy scans and scans with lesions of
the training scanner (source) and of another one (target), and simulated shifts of the
healthy source scans, are scored by a finished run as whole scans and slice by slice.
`blind_spot_record` describes the records.
"""

import pathlib
import time
from collections.abc import Mapping
from typing import Any

from uad_jax.comparison.blind_spot_record import Scans, Source, record_of
from uad_jax.comparison.blind_spot_run import (
  StudiedRun,
  batches,
  inferred_scans,
  open_scans,
  open_studied,
)
from uad_jax.comparison.blind_spot_scans import lowest, measure, measured
from uad_jax.comparison.record_lines import append, name_of, read
from uad_jax.domain_shift import shifts
from uad_jax.domain_shift.confusion import (
  HEALTHY_SOURCE,
  HEALTHY_TARGET,
  LESION_SOURCE,
  LESION_TARGET,
)
from uad_jax.domain_shift.shifted_batches import shifted_batches
from uad_jax.evaluation.scans import lesion_in
from uad_jax.registry import hashed
from uad_jax.report.atomic_files import read_json


def split_by_lesion(scans: Scans, healthy: str, lesion: str) -> dict[str, Scans]:
  """Returns scans without and with lesion voxels, under the names of their groups."""
  return {
    healthy: [scan for scan in scans if not scan.whole.lesion],
    lesion: [scan for scan in scans if scan.whole.lesion],
  }


def measure_source(
  run: StudiedRun,
  home: str,
  changes: Mapping[str, Any] | None = None,
  most: int | None = None,
) -> Source:
  """Measures the scans of the training scanner and simulated shifts of healthy ones.

  Args:
    run: Finished run.
    home: Folder or data set with the splits 'val' and 'test'.
    changes: Options of the folder, see `evaluation_data`.
    most: Number of healthy scans that are shifted, the first ones; all if None.

  Raises:
    ValueError: A split is missing or has no healthy scan.
  """
  started = time.monotonic()
  records, _ = open_scans(run.opened, home, changes)
  validation, seen = [], set()
  for scan, outputs in inferred_scans(run, batches(run, records('val')), 'val'):
    if scan.subject not in seen and not lesion_in(scan.arrays).any():
      validation.append((scan, outputs))
      seen.add(scan.subject)
  if not validation:
    raise ValueError(f"the split 'val' of {home} has no healthy scan; 8 are needed")
  floor = lowest(run, [scan for scan, _ in validation])
  quantiles = shifts.reference_quantiles([scan.arrays for scan, _ in validation])
  reference = [measure(run, *pair, floor) for pair in validation]
  tests = measured(run, batches(run, records('test')), floor, 'source')
  groups = split_by_lesion(tests, HEALTHY_SOURCE, LESION_SOURCE)
  names = [scan.whole.scan for scan in groups[HEALTHY_SOURCE]]
  if not names:
    raise ValueError(f"the split 'test' of {home} has no healthy scan")
  shifted, names = {}, names[:most]
  options = {'histogram_matched': {'reference': quantiles}}
  for name, make in shifts.SHIFTS.items():
    shift = make(**options.get(name, {}))
    source = shifted_batches(batches(run, records('test'), names), shift)
    shifted[name] = measured(run, source, floor, name)
  return Source(reference, floor, groups, shifted, time.monotonic() - started)


def study(
  folder: pathlib.Path,
  home: str,
  targets: Mapping[str, str],
  path: pathlib.Path,
  changes: Mapping[str, Any] | None = None,
  scorer: str = '',
  most: int | None = None,
) -> list[dict[str, Any]]:
  """Studies a run on the targets that have no record yet, and adds their records.

  Args:
    folder: Folder of the finished run.
    home: Scans of the training scanner, with the splits 'val' and 'test': a folder or
      the name of a data set.
    targets: Scans of other scanners by name: a folder with the split 'test', or
      'NAME/SPLIT' of a data set.
    path: File of the records, one JSON object a line.
    changes: Options of all folders, see `evaluation_data`.
    scorer: Name of the anomaly map; the default map of the run if empty.
    most: Number of healthy source scans that the simulated shifts are applied to.

  Returns:
    All records of the file.
  """
  run = open_studied(folder, scorer)
  config = read_json(folder / 'results.json')['run']['config']
  identity = {
    'method': name_of(run.opened.config),
    'seed': run.opened.config.seed,
    'config': hashed(config),
    'scorer': run.scorer,
  }
  done = [key_of(record) for record in read(path)]
  missing = [
    name for name in targets if key_of({**identity, 'target': name}) not in done
  ]
  source = measure_source(run, home, changes, most) if missing else None
  for name in missing:
    started = time.monotonic()
    records, split = open_scans(run.opened, targets[name], changes)
    tests = measured(run, batches(run, records(split)), source.floor, name)
    groups = source.groups | split_by_lesion(tests, HEALTHY_TARGET, LESION_TARGET)
    record = {**identity, 'target': name, **record_of(run, source, groups)}
    record['seconds'] = round(source.seconds + time.monotonic() - started, 1)
    append(path, record)
  return read(path)


def key_of(record: Mapping[str, Any]) -> tuple:
  """Returns the entries of a record that tell its run, map and target."""
  names = ('method', 'seed', 'config', 'scorer', 'target')
  return tuple(record[name] for name in names)
