"""Estimators of uncertainty as scores, as gates and against the errors.

  python -m benchmarks.uncertainty [--rows=dropout,ensemble] [--seeds=0] [--render]

A row is a source of uncertainty of configs/uncertainty.py, trained on IXI with inserted
lesions in runs/uncertainty; finished runs are not trained again. The numbers are kept
in docs/uncertainty.json; the page docs/uncertainty.md is made from them.
"""

import pathlib

from benchmarks.kept_results import command
from uad_jax import registry, run_folder
from uad_jax.report.atomic_files import read_json
from uad_jax.report.tables import Estimate, cell, markdown

DATA = 'ixi'
RUNS = pathlib.Path('runs/uncertainty')
ROWS = ('dropout', 'concrete', 'ensemble', 'swag', 'laplace', 'posterior', 'heads')
SHARED = ('augmented', 'transformed', 'predicted')
"""Uncertainties that every row has beside its own."""

METRICS = {
  'rank_healthy': 'rank, healthy',
  'rank_lesion': 'rank, lesion',
  'ause_healthy': 'AUSE',
  'aurg_healthy': 'AURG',
  'ence_healthy': 'ENCE',
  'ence_healthy_scale': 'ENCE, scaled',
  'ence_healthy_isotonic': 'ENCE, isotonic',
  'coverage_error_healthy_conformal': 'coverage error, conformal',
}
"""Columns of the table against the errors, by measure of results.json."""

PAGE = """# Estimators of uncertainty beside each other

Written by `python -m benchmarks.uncertainty --render` from docs/uncertainty.json.
Sources are those of configs/uncertainty.py on `ixi`: 24 test scans of 12 subjects, 12
with inserted lesions; intervals are bootstrap intervals over the subjects. What follows
from it: [findings.md](findings.md#uncertainty).

The residual is divided by a deviation: *none*, the plain residual; *its own*, that of
the source; *predicted*, that of the decoder (aleatoric); *augmented*, the deviation of
inferences of the scan with random contrast and noise; *transformed*, of inferences of
the moved scan, moved back. The source `heads` is the decoder of `dae_unc`. The column
*AUPRC of the deviation* takes the deviation itself as the map, and *recall* is its
recall of lesion voxels at 1 % of healthy voxels, which is what a gate is worth. Chance
of AUPRC is .008.

{maps}

## Against the true errors

Errors are those to the lesion-free twin; of a displacement, the distance to that of the
twin. *Rank* is the Spearman correlation of deviation and error. AUSE, the area under
the sparsification error, is ideally 0; AURG, the area of the gain over random removal,
is ideally large. ENCE, the expected normalised calibration error, is 0 for deviations
of the size of the error: of the deviations as they are, scaled by one factor, and by
isotonic regression, both fitted on healthy validation scans. *Coverage error,
conformal* is the mean distance between the nominal and the true coverage of intervals
that are calibrated on the same scans (`evaluation.uncertainty_measures`).

{errors}
"""

Estimates = dict[str, dict[str, Estimate]]


def estimates(measured: dict[str, Estimate], wanted) -> dict[str, Estimate]:
  """Returns each wanted measure that is known, to four decimals."""
  return {
    name: {
      'value': round(entry['value'], 4),
      'interval': [round(end, 4) for end in entry['interval']],
    }
    for name, entry in measured.items()
    if name in wanted
  }


def measure(row: str, seed: int) -> dict[str, Estimates]:
  """Trains and evaluates a row, unless its run is finished."""
  config = registry.read_config(registry.config_path('uncertainty'), f'{row}:{DATA}')
  config.seed = seed
  folder = RUNS / f'{row}-{seed}'
  run_folder.run(config, str(folder))
  results = read_json(folder / 'results.json')
  return {
    'scores': {
      name: estimates(scores['pooled'], ('auprc', 'recall_at_1'))
      for name, scores in results['scorers'].items()
    },
    'errors': {
      name: estimates(entry['metrics'], METRICS)
      for name, entry in results['uncertainty'].items()
    },
  }


def shown(values: Estimates, name: str, measured: str) -> str:
  """Formats an estimate with its interval; a dash where there is none."""
  return cell(values.get(name, {}).get(measured), interval=True)


def as_maps(kept: dict[str, dict[str, dict]]) -> list[list[str]]:
  """Lists the rows of the table of anomaly maps and gates."""
  listed = []
  for row in ROWS:
    for seed, result in sorted(kept.get(row, {}).items()):
      scores = result['scores']
      listed.append([row, seed, 'none', shown(scores, 'residual', 'auprc'), '–', '–'])
      for name in (row, 'total', *SHARED):
        if name in scores:
          title = {row: 'its own', 'total': 'its own and predicted'}.get(name, name)
          listed.append(
            [
              row,
              seed,
              title,
              shown(scores, name, 'auprc'),
              shown(scores, f'{name}_deviation', 'auprc'),
              shown(scores, f'{name}_deviation', 'recall_at_1'),
            ]
          )
  return listed


def against_errors(kept: dict[str, dict[str, dict]]) -> list[list[str]]:
  """Lists the rows of the table of uncertainties beside the true errors."""
  return [
    [row, seed, name.replace('_deviation', '').replace('/', ': ')]
    + [shown(result['errors'], name, measured) for measured in METRICS]
    for row in ROWS
    for seed, result in sorted(kept.get(row, {}).items())
    for name in sorted(result['errors'])
  ]


def page(kept: dict[str, dict[str, dict]]) -> str:
  """Renders the page."""
  maps = ['source', 'seed', 'uncertainty', 'AUPRC of the standardised residual']
  maps += ['AUPRC of the deviation', 'recall of the deviation at 1 %']
  errors = ['source', 'seed', 'of: uncertainty', *METRICS.values()]
  return PAGE.format(
    maps=markdown(maps, as_maps(kept)), errors=markdown(errors, against_errors(kept))
  )


if __name__ == '__main__':
  command('uncertainty', ROWS, measure, page)
