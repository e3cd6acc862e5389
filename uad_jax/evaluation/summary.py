"""From the measured scans to the numbers of results.json and subjects.csv.

results.json, as far as the evaluation fills it (`report.write` adds 'run'); an
estimate is {'value': v, 'interval': [low, high]}, null where it is undefined:

  schema           version of this layout
  default          name of the default map; default_chosen_on says how it was chosen
  protocol         postprocess, percentages of the thresholds, overlap that finds a
                   lesion, quantile of the subject score, resamples, seed
  data             scans, subjects, healthy, diseased; scans by pathology; voxel_ml
  scorers.NAME     thresholds {'1', '5', '10'}; selection_auprc;
                   pooled {metric: estimate}; subject_mean {metric: estimate};
                   by_pathology {name: {scans, pooled metrics on those scans alone}};
                   by_lesion_size {bin: {lesions, lesion_recall_at_*}};
                   minus_default {auprc, oracle_dice, dice_at_5}: paired differences
  restoration      {metric: estimate}, of the method and so of every map
  registration     likewise
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
  """What an evaluation found.

  Attributes:
    summary: The content of results.json, see the head of this file.
    subjects: The rows of subjects.csv: one per scan and scorer.
    samples: By scorer, what intervals and paired differences are made from.
    cases: Scans to look at: worst, median, best by the default map, and a healthy one.
  """

  summary: dict
  subjects: list[dict]
  samples: dict[str, Sample]
  cases: list[Case]


def make_sample(scans: Sequence[Scan], measured: Sequence) -> tuple[Sample, Histogram]:
  """The scans of one scorer as a sample, and their full pooled histogram.

  Args:
    scans: The scans, in order.
    measured: For each scan its histogram, counts and values, as `evaluate.Measured`.
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
  """An estimate for JSON: null where it is not finite."""
  value, low, high = (float(x) if np.isfinite(x) else None for x in interval)
  return {'value': value, 'interval': [low, high]}


def plain_all(estimated: Estimated) -> dict[str, dict]:
  """Every metric with its interval, for JSON."""
  return {name: plain(estimated.interval(name)) for name in estimated.values}


def estimates(
  metrics: Mapping[str, bootstrap.Metric], sample: Sample, drawn: np.ndarray
) -> dict[str, dict]:
  """Every metric that the sample has the values for, with its interval."""
  return plain_all(bootstrap.estimated(metrics, sample, drawn))


def scorer_summary(
  sample: Sample,
  estimated: Estimated,
  drawn: np.ndarray,
  thresholds: Mapping[int, float],
) -> dict:
  """The numbers of one scorer; `estimated` are its pooled metrics."""
  by_pathology = {}
  for pathology in np.unique(sample.pathology[sample.diseased]):
    rows = np.flatnonzero((sample.pathology == pathology) & sample.diseased)
    part = restrict(sample, rows)
    some = {name: POOLED[name] for name in IN_PATHOLOGY}
    by_pathology[str(pathology)] = {
      'scans': len(rows),
      **estimates(some, part, bootstrap.weights(part, len(drawn), 0)),
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
  """A row for each scan and scorer, with all its counts and values."""
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
  """The content of results.json, see the head of this file.

  Args:
    scans: The test scans.
    samples: By scorer.
    pools: By scorer, the full pooled histogram.
    thresholds: By scorer and percentage.
    chosen: By scorer, the AUPRC on the selection split; empty without one.
    default: The default map.
    postprocess: Name of the preset.
    resamples: Number of resamples.
    seed: Of the resampling.
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
