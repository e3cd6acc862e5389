"""Classic novelty detectors on patches of brains. Writes docs/classic_detectors.md.

  python -m benchmarks.classic_detectors [--rows=lof:demo,pca:ixi] [--seeds=0,1]
    [--render]

A row is a run of configs/patch_detector.py:DETECTOR:DATA, kept in runs/classic. Results
are kept in docs/classic_detectors.json; none is computed twice.
"""

import pathlib
import time
from collections.abc import Sequence

from benchmarks.kept_results import command
from uad_jax import registry, run_folder
from uad_jax.comparison import packed_draws, records, stored_records
from uad_jax.comparison.paired_differences import signed
from uad_jax.detectors.catalogue import DETECTORS
from uad_jax.evaluation.bootstrap import resample
from uad_jax.evaluation.metrics import POOLED
from uad_jax.evaluation.sample import load
from uad_jax.report.atomic_files import read_json
from uad_jax.report.tables import markdown

RUNS = pathlib.Path('runs/classic')
"""Folder of the run folders."""

DATA = ('demo', 'ixi', 'stroke_flair64')
"""Data sets."""

ROWS = tuple(f'{detector}:{data}' for data in DATA for detector in DETECTORS)
"""Arguments of configs/patch_detector.py."""


RIVALS = (records.BASELINE, 'dae_unc')
"""Rows of docs/results.md that the detectors are compared with, seed by seed."""


def measure(row: str, seed: int) -> dict[str, float | str]:
  """Trains and evaluates a row; AUPRC with its interval, and seconds.

  Returns:
    'auprc', 'low' and 'high' (95 % bootstrap interval over subjects), 'image_auroc' by
    the mean of the map, 'chance' (share of lesion voxels), 'fit', seconds until the
    detector is fitted, and 'all', seconds with the evaluation; 'test', hash of the test
    data, and 'draws', the AUPRC in each resample of the subjects, packed.
  """
  config = registry.read_config(registry.config_path('patch_detector'), row)
  config.seed = seed
  folder = RUNS / f'{row.replace(":", "-")}-{seed}-{registry.digest(config)}'
  start = time.perf_counter()
  run_folder.run(config, str(folder))
  seconds = time.perf_counter() - start
  summary = read_json(folder / 'results.json')
  pooled = summary['scorers']['novelty']['pooled']
  low, high = pooled['auprc']['interval']
  return {
    'auprc': round(pooled['auprc']['value'], 4),
    'low': round(low, 4),
    'high': round(high, 4),
    'image_auroc': round(pooled['image_auroc_mean']['value'], 3),
    'chance': round(pooled['prevalence']['value'], 4),
    'fit': round(read_json(folder / 'training.json')['seconds'], 1),
    'all': round(seconds, 1),
    'test': summary['run']['manifest'],
    'draws': packed_draws.packed(
      resample(POOLED['auprc'], load(folder / 'evaluation.npz')['novelty'])
    ),
  }


def differences(
  kept: Sequence[records.Record], seed: int, result: dict[str, float | str]
) -> list[str]:
  """Formats the AUPRC of a detector minus that of each of `RIVALS`, paired.

  A rival that has no run with this seed gives an empty text, and so does each if no
  record of the table is of these test data. The records of a table are of the same data
  up to the rounding of the machine (`comparison.results.check_data`).

  Args:
    kept: Records of the data set.
    seed: Seed of the detector's run.
    result: What `measure` returned.
  """
  compared = result['test'] in {record.data['digest'] for record in kept}
  same = {
    record.name: record
    for record in kept
    if compared and not record.variant and record.seeds == (seed,)
  }
  texts = []
  for name in RIVALS:
    gap = name in same and packed_draws.difference(
      result['auprc'], result['draws'], same[name].auprc, same[name].draws
    )
    texts.append(signed(gap) if gap else '')
  return texts


def page(kept: dict[str, dict[str, dict[str, float]]]) -> str:
  """Renders the page."""
  parts = []
  for data in DATA:
    rows, chance = [], None
    rivals = stored_records.read(pathlib.Path(f'docs/runs/{data}.jsonl'))
    for detector in DETECTORS:
      for seed, result in sorted(kept.get(f'{detector}:{data}', {}).items()):
        chance = result['chance']
        interval = f'[{result["low"]:.3f}, {result["high"]:.3f}]'
        numbers = (f'{result[key]:.3g}' for key in ('image_auroc', 'fit', 'all'))
        auprc = f'{result["auprc"]:.3f} {interval}'
        gaps = differences(rivals, int(seed), result)
        rows.append([detector, seed, auprc, *gaps, *numbers])
    head = [
      'detector', 'seed', 'AUPRC', *(f'minus {name}' for name in RIVALS),
      'image AUROC', 's, fit', 's, with evaluation',
    ]  # fmt: skip
    if rows:
      parts.append(f'## {data}\n\nChance is {chance:.3f}.\n\n{markdown(head, rows)}\n')
  return (
    '# Classic detectors on patches\n\n'
    'Written by `python -m benchmarks.classic_detectors --render` from '
    'docs/classic_detectors.json. Each detector is\nfitted to 2 000 patches of 3 x 3 '
    'voxels with their place (`configs/patch_detector.py`). AUPRC of the test scans '
    'with 95 %\nbootstrap intervals over subjects; image AUROC by the mean of the map; '
    'seconds of one core beside other work.\n\n' + '\n'.join(parts)
  )


if __name__ == '__main__':
  command('classic_detectors', ROWS, measure, page)
