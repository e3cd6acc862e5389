"""Functions that set the thresholds and choose the default map on validation scans."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from uad_jax.evaluation import healthy_ranges, histogram
from uad_jax.evaluation.measure import pooled_histograms
from uad_jax.evaluation.postprocess import Postprocess
from uad_jax.evaluation.scans import Scan


class Decisions(NamedTuple):
  """Thresholds and default anomaly map, chosen on validation data before the test.

  Attributes:
    thresholds: Thresholds by scorer and by percentage of healthy voxels above them;
      None while they are to be set.
    default: Scorer of the default anomaly map.
    selection_auprc: AUPRC (area under the precision-recall curve) by scorer on the
      selection split; empty without that split, when the first scorer is the default.
    healthy: Description of the healthy validation scans, see `healthy_ranges`.
  """

  thresholds: Mapping[str, Mapping[int, float]] | None
  default: str
  selection_auprc: Mapping[str, float]
  healthy: Mapping[str, Any] | None = None


BARE = 'prediction.json'
"""File of a run with thresholds for scans whose brain mask is estimated, see
`prediction.calibration`."""


def belongs(bare: Mapping[str, Any], results: Mapping[str, Any]) -> bool:
  """Returns whether the content of the file `BARE` was made for these results.

  Args:
    bare: Content of the file; {} if it is missing.
    results: Content of results.json.
  """
  written = results.get('run', {}).get('written', '')
  return bool(bare) and bare.get('results') == written


def stored_decisions(
  results: Mapping[str, Any], bare: Mapping[str, Any] = MappingProxyType({})
) -> Decisions:
  """Returns the thresholds and the default anomaly map of an earlier evaluation.

  Args:
    results: Content of results.json.
    bare: Content of the file `BARE`, whose thresholds then replace those of the scorers
      that it has, if it belongs to these results.
  """
  scorers = results['scorers']
  estimated = bare['thresholds'] if belongs(bare, results) else {}
  auprc = {name: entry.get('selection_auprc') for name, entry in scorers.items()}
  return Decisions(
    {
      name: {
        int(percent): value
        for percent, value in estimated.get(name, entry['thresholds']).items()
      }
      for name, entry in scorers.items()
    },
    results['default'],
    {name: value for name, value in auprc.items() if value is not None},
  )


def selection_auprc(
  scans: Iterable[Scan], scorers: Iterable[str], chain: Postprocess
) -> dict[str, float]:
  """Computes the AUPRC of each scorer on validation scans with lesions.

  The brain voxels of all scans are pooled.

  Args:
    scans: Validation scans with lesions and their anomaly maps.
    scorers: Names of the anomaly maps.
    chain: Post-processing of the maps.
  """
  pooled = pooled_histograms(scans, scorers, chain)
  return {
    scorer: float(histogram.ranking(both.healthy, both.lesion).auprc)
    for scorer, both in pooled.items()
  }


def decide(
  healthy: Iterable[Scan],
  selection: Iterable[Scan] | None,
  scorers: Iterable[str],
  chain: Postprocess,
) -> Decisions:
  """Sets thresholds and chooses the default anomaly map, on validation scans.

  Args:
    healthy: Healthy validation scans, for the thresholds.
    selection: Validation scans with lesions, for the default map; None takes the first
      scorer.
    scorers: Names of the anomaly maps, in order.
    chain: Post-processing of the maps.
  """
  scorers = list(scorers)
  thresholds, described = healthy_ranges.measure(healthy, scorers, chain)
  auprc = {} if selection is None else selection_auprc(selection, scorers, chain)
  default = max(auprc, key=auprc.get) if auprc else scorers[0]
  return Decisions(thresholds, default, auprc, described)
