"""Functions that compute the evaluation results for results.json and subjects.csv.

Layout of results.json, to which `report.write` adds the entry 'run'; an estimate is
{'value': v, 'interval': [low, high]}, null where it is undefined:

  schema           version of this layout
  default          scorer of the default anomaly map
  default_chosen_on  criterion by which the default was chosen
  protocol         postprocess, percentages of the thresholds, overlap from which a
                   lesion counts as found, quantile of the subject score, resamples,
                   seed
  data             scans, subjects, healthy, diseased; scans by pathology; voxel_ml
  scorers.NAME     thresholds {'1', '5', '10'}; selection_auprc;
                   pooled {metric: estimate}; subject_mean {metric: estimate};
                   by_pathology {name: {scans, pooled metrics on those scans alone}};
                   by_lesion_size {bin: {lesions, lesion_recall_at_*}};
                   minus_default {auprc, oracle_dice, dice_at_5}: paired differences
  step             optional: training step of the parameters, see `evaluated_step`
  restoration, registration  {metric: estimate} of the method, for all its scorers
  healthy_validation, uncertainty  optional, of `healthy_ranges`, `uncertainty_quality`
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from uad_jax.evaluation import bootstrap, histogram
from uad_jax.evaluation.bootstrap import Estimated, Interval
from uad_jax.evaluation.cases import Case
from uad_jax.evaluation.histogram import Histogram, Ranking
from uad_jax.evaluation.lesionwise import OVERLAP, SIZE_NAMES
from uad_jax.evaluation.metrics import (
  BY_SIZE,
  FPR_PERCENT,
  POOLED,
  QUANTILE,
  REGISTRATION,
  RESTORATION,
  SUBJECT,
)
from uad_jax.evaluation.sample import Sample, common_bins, compress, restrict
from uad_jax.evaluation.scans import Scan

SCHEMA = '1.2'
IN_PATHOLOGY = (
  'prevalence',
  *Ranking._fields,
  'dice_at_5',
  'lesion_recall_at_5',
  'lesion_f1_at_5',
)
COMPARED = ('auprc', 'oracle_dice', 'dice_at_5')


class Results(NamedTuple):
  """Results of one evaluation: metrics, a table of the scans, and example slices.

  Attributes:
    summary: Content of results.json, see the module docstring.
    subjects: Rows of subjects.csv, one per scan and scorer.
    samples: Counts and values per scan by scorer, for intervals and differences.
    cases: Example slices: worst, median, best by the default anomaly map, one healthy.
  """

  summary: dict
  subjects: list[dict]
  samples: dict[str, Sample]
  cases: list[Case]


def make_sample(scans: Sequence[Scan], measured: Sequence) -> tuple[Sample, Histogram]:
  """Collects the counts and metrics of one scorer over all test scans.

  Args:
    scans: The n test scans, in order.
    measured: One `measure.Measured` for each scan.

  Returns:
    Counts and values with scores in shared bins; pooled histogram in all its bins.
  """
  histograms = [m.histogram for m in measured]
  pooled = histogram.pool(histograms)
  starts = common_bins(pooled)
  healthy, lesion = compress(histograms, starts)

  def table(field, missing):
    names = dict.fromkeys(name for m in measured for name in getattr(m, field))
    return {
      name: np.array([getattr(m, field).get(name, missing) for m in measured], float)
      for name in names
    }

  sample = Sample(
    np.array([scan.subject for scan in scans]),
    np.array([scan.pathology for scan in scans]),
    lesion.sum(1) > 0,
    histogram.lower_edge(starts),
    healthy,
    lesion,
    table('counts', 0),
    table('values', np.nan),
  )
  return sample, pooled


def plain(interval: Interval) -> dict:
  """Converts an estimate and its interval to a dict for JSON, None for nan and inf."""
  value, low, high = (float(x) if np.isfinite(x) else None for x in interval)
  return {'value': value, 'interval': [low, high]}


def plain_all(estimated: Estimated) -> dict[str, dict]:
  """Converts the estimates and intervals of all metrics to dicts for JSON, by name."""
  return {name: plain(estimated.interval(name)) for name in estimated.values}


def estimates(
  metrics: Mapping[str, bootstrap.Metric], sample: Sample, drawn: np.ndarray
) -> dict[str, dict]:
  """Computes metrics with their bootstrap intervals, as dicts for JSON.

  A metric is left out if the sample lacks a count or value that it needs.

  Args:
    metrics: Metrics by name.
    sample: Counts and values of the n test scans.
    drawn: Resamples from `bootstrap.weights`, [R, n].
  """
  return plain_all(bootstrap.estimated(metrics, sample, drawn))


def scorer_summary(
  sample: Sample,
  estimated: Estimated,
  drawn: np.ndarray,
  thresholds: Mapping[int, float],
) -> dict:
  """Builds the entry of one scorer in results.json.

  `summarise` adds the paired differences to the default scorer.

  Args:
    sample: Counts and values of the scorer.
    estimated: Pooled metrics of the scorer.
    drawn: Resamples from `bootstrap.weights`, [R, n].
    thresholds: Thresholds by percentage.
  """
  by_pathology = {}
  for pathology in np.unique(sample.pathology[sample.diseased]):
    rows = np.flatnonzero((sample.pathology == pathology) & sample.diseased)
    part = restrict(sample, rows)
    metrics = {name: POOLED[name] for name in IN_PATHOLOGY}
    by_pathology[str(pathology)] = {
      'scans': len(rows),
      **estimates(metrics, part, bootstrap.weights(part, len(drawn), 0)),
    }
  return {
    'thresholds': {str(percent): value for percent, value in thresholds.items()},
    'pooled': plain_all(estimated),
    'subject_mean': estimates(SUBJECT, sample, drawn),
    'by_pathology': by_pathology,
    'by_lesion_size': {
      size: {
        'lesions': int(sample.counts[f'lesions {size}'].sum()),
        **estimates(BY_SIZE[size], sample, drawn),
      }
      for size in SIZE_NAMES
    },
  }


def subject_rows(scans: Sequence[Scan], samples: Mapping[str, Sample]) -> list[dict]:
  """Builds the rows of subjects.csv, one for each pair of scan and scorer.

  A row describes the scan and holds all counts and values of the scorer.
  """
  rows = []
  for scorer, sample in samples.items():
    for index, scan in enumerate(scans):
      rows.append(
        {
          'scan': scan.name,
          'subject': scan.subject,
          'scorer': scorer,
          'pathology': scan.pathology,
          'domain': scan.domain,
          'age': scan.age,
          'voxel_ml': scan.voxel_ml,
          **{name: int(counts[index]) for name, counts in sample.counts.items()},
          **{name: float(values[index]) for name, values in sample.values.items()},
        }
      )
  return rows


def summarise(
  scans: Sequence[Scan],
  samples: Mapping[str, Sample],
  pools: Mapping[str, Histogram],
  thresholds: Mapping[str, Mapping[int, float]],
  chosen: Mapping[str, float],
  default: str,
  postprocess: str,
  resamples: int,
  seed: int,
) -> dict:
  """Computes the metrics of all scorers on the test scans, as results.json stores them.

  Args:
    scans: The test scans.
    samples: Counts and values per scan, by scorer.
    pools: Pooled histogram in all its bins, by scorer.
    thresholds: Thresholds by scorer and percentage.
    chosen: AUPRC on the selection split by scorer; empty without such a split.
    default: Scorer of the default anomaly map.
    postprocess: Name of the post-processing preset.
    resamples: Number of resamples.
    seed: Seed of the resampling.
  """
  reference = samples[default]
  drawn = bootstrap.weights(reference, resamples, seed)
  estimated, scorers = {}, {}
  for name, sample in samples.items():
    full = histogram.ranking(pools[name].healthy, pools[name].lesion)
    exact = {metric: float(value) for metric, value in full._asdict().items()}
    estimated[name] = bootstrap.estimated(POOLED, sample, drawn, exact)
  for name, sample in samples.items():
    scorers[name] = scorer_summary(sample, estimated[name], drawn, thresholds[name])
    scorers[name]['selection_auprc'] = chosen.get(name)
    if name != default:
      scorers[name]['minus_default'] = {
        metric: plain(estimated[name].minus(estimated[default], metric))
        for metric in COMPARED
      }
  names, number = np.unique(reference.pathology, return_counts=True)
  return {
    'schema': SCHEMA,
    'default': default,
    'default_chosen_on': 'AUPRC of the selection split' if chosen else 'first scorer',
    'protocol': {
      'postprocess': postprocess,
      'threshold_fpr_percent': list(FPR_PERCENT),
      'lesion_overlap': OVERLAP,
      'subject_score_quantile': QUANTILE,
      'resamples': resamples,
      'seed': seed,
    },
    'data': {
      'scans': len(scans),
      'subjects': len({scan.subject for scan in scans}),
      'healthy': int((~reference.diseased).sum()),
      'diseased': int(reference.diseased.sum()),
      'pathology': {str(n): int(c) for n, c in zip(names, number, strict=True)},
      'voxel_ml': float(np.median([scan.voxel_ml for scan in scans])),
    },
    'scorers': scorers,
    'restoration': estimates(RESTORATION, reference, drawn),
    'registration': estimates(REGISTRATION, reference, drawn),
  }
