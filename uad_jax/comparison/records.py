"""Functions that make a record of a run, the numbers that docs/results.md shows."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from uad_jax import registry
from uad_jax.comparison import packed_draws, paired_differences, patient_groups
from uad_jax.comparison.finished_runs import FinishedRun
from uad_jax.comparison.paired_differences import Rival
from uad_jax.evaluation.bootstrap import resample
from uad_jax.evaluation.metrics import POOLED
from uad_jax.evaluation.sample import load
from uad_jax.report.tables import COLUMNS, Estimate, estimates

BASELINE = 'atlas'
"""Method that others are compared with: mean and deviation of each voxel."""

METRIC = COLUMNS[0].metric  # by which methods are compared: AUPRC

TESTED = ('scans', 'subjects', 'diseased')
"""Counts of the test data that a record keeps."""


class Record(NamedTuple):
  """Results and costs of one method, from one training or as the mean of several.

  The tables of docs/results.md are made from them.

  Attributes:
    name: Method name in the tables.
    variant: Name of the variant (the same trained model, evaluated with other inference
      settings); '' for the run without variant.
    seeds: Seeds of the trainings; for several, all numbers are means over them.
    config: Hash of the config with the first of the seeds.
    data: Description of the test data: their hash ('digest'), counts such as scans and
      subjects (`TESTED`), and as 'honest' the AUPRC of the baseline (`BASELINE`) on
      them, None if it was not run.
    default: Scorer that was chosen on validation data.
    parameters: Number of trained parameters; None if unknown.
    training: Training data as text, '48 subjects, 480 slices'; None if unknown.
    steps: Training steps.
    minutes: Time of the training; None if it was interrupted or not measured.
    maps: Metrics (`COLUMNS`) with their intervals, by scorer and by metric.
    draws: AUPRC of the chosen scorer in each resample of the subjects, encoded by
      `packed_draws.packed`; '' for a variant and for a mean of several trainings.
    over: AUPRC of the method minus that of the baseline, for a mean of several
      trainings; None for one training, see `gap`.
    rivals: Differences of AUPRC to the variants of the same training and, for a mean of
      several trainings, to other methods.
    patients: Metrics of the scans with lesions, with draws, see `patient_groups`.
    groups: The same metrics of groups of them, by fact and by group.
    kinds: AUPRC of the scans with one kind of lesion, by its name; empty if all scans
      are of one kind.
  """

  name: str
  variant: str
  seeds: tuple[int, ...]
  config: str
  data: Mapping[str, str | int | float | None]
  default: str
  parameters: int | None
  training: str | None
  steps: int
  minutes: float | None
  maps: Mapping[str, Mapping[str, Estimate]]
  draws: str
  over: Estimate | None
  rivals: Sequence[Rival]
  patients: Mapping[str, Mapping] = MappingProxyType({})
  groups: Mapping[str, Mapping] = MappingProxyType({})
  kinds: Mapping[str, Estimate] = MappingProxyType({})

  @property
  def auprc(self) -> float:
    """AUPRC of the scorer that was chosen on validation data."""
    return self.maps[self.default][METRIC]['value']


def training_data(model: Mapping) -> str | None:
  """Returns the size of the training data as text, such as '48 subjects, 480 slices'.

  Args:
    model: Content of model.json.

  Returns:
    The text; None if the training data are unknown.
  """
  training = model.get('training')
  if not training:
    return None
  kind = 'slices' if len(model['shape']) == 2 else 'volumes'
  return f'{training["subjects"]} subjects, {training["records"]} {kind}'


def rounded(entry: Estimate) -> Estimate:
  """Rounds the numbers of an estimate as records keep them."""
  return paired_differences.estimate((entry['value'], *entry['interval']))


def maps_of(summary: Mapping) -> dict[str, dict[str, Estimate]]:
  """Selects the metrics of each scorer that docs/results.md shows from a run's results.

  Args:
    summary: Content of results.json.

  Returns:
    Estimates by scorer and by name of the metric.
  """
  metrics = {column.title: column.metric for column in COLUMNS}
  return {
    scorer: {
      metrics[title]: rounded(entry)
      for title, entry in estimates(summary, scorer).items()
    }
    for scorer in summary['scorers']
  }


def kinds_of(summary: Mapping, scorer: str) -> dict[str, Estimate]:
  """Selects the AUPRC by kind of lesion from a run's results.

  Args:
    summary: Content of results.json.
    scorer: Name of the scorer.

  Returns:
    Estimates by kind; empty if the test scans have one kind alone.
  """
  parts = summary['scorers'][scorer].get('by_pathology', {})
  if len(parts) < 2:
    return {}
  return {kind: rounded(part[METRIC]) for kind, part in parts.items()}


def from_runs(
  runs: Sequence[FinishedRun], facts: patient_groups.Facts = MappingProxyType({})
) -> list[Record]:
  """Builds records (numbers for docs/results.md) of finished runs on one data set.

  Args:
    runs: Finished runs.
    facts: Facts about the test subjects, by which they are grouped; may be empty.
  """
  records, by_name = [], defaultdict(list)
  for run in runs:
    by_name[run.name].append(run)
  baseline_auprc = {
    run.summary['run']['manifest']: paired_differences.auprc(run, run.default)
    for run in by_name[BASELINE]
  }
  for run in runs:
    digest = run.summary['run']['manifest']
    data = {name: run.summary['data'][name] for name in TESTED}
    records.append(
      Record(
        name=run.name,
        variant=run.variant,
        seeds=(run.seed,),
        config=registry.hashed(run.summary['run']['config']),
        data={'digest': digest, **data, 'honest': baseline_auprc.get(digest)},
        default=run.default,
        parameters=run.parameters,
        training=training_data(run.model),
        steps=run.training.get('steps', 0),
        minutes=round(run.training.get('seconds', 0) / 60, 2),
        maps=maps_of(run.summary),
        kinds=kinds_of(run.summary, run.default),
        over=None,
        rivals=paired_differences.within_run(run, runs),
        **({'draws': ''} if run.variant else of_sample(run, facts)),
      )
    )
  return records


def of_sample(run: FinishedRun, facts: patient_groups.Facts) -> dict:
  """Computes the fields 'draws', 'patients' and 'groups' of a run's record."""
  sample = load(run.folder / 'evaluation.npz')[run.default]
  estimated = patient_groups.draws(sample)
  patients = {
    name: paired_differences.estimate(estimated.interval(name))
    | {'draws': packed_draws.packed(estimated.draws[name])}
    for name in patient_groups.METRICS
  }
  return {
    'draws': packed_draws.packed(resample(POOLED[METRIC], sample)),
    'patients': patients,
    'groups': patient_groups.measure(sample, facts),
  }


def gap(a: Record, b: Record) -> Estimate | None:
  """Computes the AUPRC difference between two runs, with a paired confidence interval.

  Args:
    a: Record of the first run.
    b: Record of the second run.

  Returns:
    AUPRC of `a` minus AUPRC of `b`; None if one of them has no draws.
  """
  return packed_draws.difference(a.auprc, a.draws, b.auprc, b.draws)


def patient_gap(a: Record, b: Record, metric: str) -> Estimate | None:
  """Computes the difference of a metric on the scans with lesions, paired.

  Args:
    a: Record of the first run.
    b: Record of the second run.
    metric: Key of `patient_groups.METRICS`.

  Returns:
    The metric of `a` minus that of `b`; None if one of them has no draws.
  """
  if metric not in a.patients or metric not in b.patients:
    return None
  ours, theirs = a.patients[metric], b.patients[metric]
  return packed_draws.difference(
    ours['value'], ours['draws'], theirs['value'], theirs['draws']
  )
