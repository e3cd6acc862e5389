"""Scores of the blind-spot study, from the statistics of scans or slices.

All scores are high where an example is anomalous. DoSE, typicality, kNN and the gate
compare with healthy scans of the training scanner that the run was not trained on.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from uad_jax.comparison.blind_spot_scans import Example
from uad_jax.domain_shift import density_of_states, gate
from uad_jax.domain_shift.statistics import DIFFUSE, STATISTICS

SCORES = {
  'map mean': 'mean of the anomaly map in the brain',
  'map entropy': 'normalised entropy of the anomaly map',
  'error mean': 'mean of abs(scan - reconstruction)',
  'error entropy': 'its normalised entropy',
  'KL': 'Kullback-Leibler term of the ELBO',
  '-ELBO': 'minus the evidence lower bound (ELBO) per brain voxel',
  '-log p(code)': 'minus the log-likelihood of the codes per brain voxel',
  'WAIC': 'minus the mean of the ELBO over the seeds plus its variance',
  '-DoSE': 'minus the sum of the log densities of all statistics',
  '-DoSE, diffuse': 'the same of the statistics that a lesion hardly moves',
  'typicality': 'distance of the likelihood from its mean over healthy scans',
  'complexity': 'bits per brain voxel of the compressed scan',
  'likelihood ratio': 'minus the log-likelihood minus the complexity in nats',
  'kNN': 'distance of the latent code to the 5th nearest healthy one',
  'gate': 'Mahalanobis distance of the diffuse statistics of the image',
}
"""Scores in the order of the tables, in words."""

IMAGE = tuple(name for name in DIFFUSE if not name.startswith('residual'))
"""Statistics of the gate, which `predict` asks before the inference."""

NEIGHBOURS = 5
"""Rank of the neighbour for kNN."""


def column(examples: Sequence[Example], name: str) -> np.ndarray | None:
  """Collects a statistic of all examples, [m]; None if one of them lacks it."""
  if any(name not in example.statistics for example in examples):
    return None
  return np.array([example.statistics[name] for example in examples], np.float64)


def columns(examples: Sequence[Example]) -> dict[str, np.ndarray]:
  """Collects those statistics that all examples have, [m] each, by name."""
  names = examples[0].statistics if examples else ()
  table = {name: column(examples, name) for name in names}
  return {name: values for name, values in table.items() if values is not None}


def scores(
  examples: Sequence[Example], healthy: Sequence[Example]
) -> dict[str, np.ndarray]:
  """Computes all scores of scans, or of slices, that the method of a run allows.

  Typicality and likelihood ratio use the ELBO, or the likelihood of the codes where the
  method has no ELBO. The ratio is that of Serra et al. (ICLR 2020): -log p(x) minus the
  complexity, in nats per brain voxel.

  Args:
    examples: m scans or slices.
    healthy: Healthy examples of the training scanner, at least `gate.LEAST`.

  Returns:
    [m] by name of `SCORES`; nan where a statistic is undefined.

  Raises:
    ValueError: There are too few healthy examples.
  """
  if not examples:
    return {}
  table, reference = columns(examples), columns(healthy)
  plain = {
    'map mean': ('residual_mean', 1),
    'map entropy': ('residual_entropy', 1),
    'error mean': ('error_mean', 1),
    'error entropy': ('error_entropy', 1),
    'KL': ('kl', 1),
    '-ELBO': ('elbo', -1),
    '-log p(code)': ('log_prob', -1),
    'complexity': ('complexity', 1),
  }
  computed = {
    name: sign * table[statistic]
    for name, (statistic, sign) in plain.items()
    if statistic in table
  }
  likelihoods, typical = likelihood(table), likelihood(reference)
  if likelihoods is not None:
    computed['typicality'] = density_of_states.typicality(likelihoods, typical)
    computed['likelihood ratio'] = -density_of_states.likelihood_ratio(
      likelihoods, -np.log(2) * table['complexity']
    )
  for name, names in (('-DoSE', STATISTICS), ('-DoSE, diffuse', DIFFUSE)):
    computed[name] = _fitted(table, reference, names, _minus_dose)
  computed['gate'] = _fitted(table, reference, IMAGE, gate_score)
  if all(example.code is not None for example in (*examples, *healthy)):
    codes, known = (
      np.array([example.code for example in part]) for part in (examples, healthy)
    )
    computed['kNN'] = density_of_states.knn_distance(
      codes, known, min(NEIGHBOURS, len(known))
    )
  return {name: computed[name] for name in SCORES if name in computed}


def likelihood(statistics: Mapping[str, Any]) -> Any:
  """Returns the ELBO among statistics, or else the likelihood of the codes, or None."""
  return statistics.get('elbo', statistics.get('log_prob'))


def gate_score(
  table: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]
) -> np.ndarray:
  """Computes the nonconformity score of the gate for many examples at once.

  It is `gate.Answer.score`, without the p-value.

  Args:
    table: [m] statistics of the examples by name.
    reference: [n] statistics of healthy examples by the same names.

  Returns:
    [m] scores.
  """
  healthy = [
    dict(zip(reference, row, strict=True))
    for row in np.stack(list(reference.values()), 1).tolist()
  ]
  known = gate.fit(healthy, list(reference))
  sides = np.array([STATISTICS[name].side for name in known.names])
  new = np.stack([table[name] for name in known.names], 1)
  return gate.scores(new, known.values, sides)


def waic(log_likelihoods: np.ndarray) -> np.ndarray:
  """Computes minus the WAIC of examples over an ensemble of runs, [K, m] -> [m]."""
  return -density_of_states.waic(log_likelihoods)


def _minus_dose(
  table: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]
) -> np.ndarray:
  """Computes minus the density of states of examples."""
  return -density_of_states.dose(density_of_states.fit_dose(reference), table)


def _fitted(
  table: Mapping[str, np.ndarray],
  reference: Mapping[str, np.ndarray],
  names: Sequence[str],
  score: Callable[[Mapping, Mapping], np.ndarray],
) -> np.ndarray:
  """Computes a score of those statistics that all healthy examples have.

  Examples with an undefined statistic get nan.
  """
  usable = [
    name
    for name in names
    if name in table and np.isfinite(reference.get(name, np.nan)).all()
  ]
  rows = [np.isfinite(table[name]) for name in usable]
  defined = np.logical_and.reduce(rows) if rows else np.zeros(1, bool)
  values = np.full(len(next(iter(table.values()))), np.nan)
  if defined.any():
    values[defined] = score(
      {name: table[name][defined] for name in usable},
      {name: reference[name] for name in usable},
    )
  return values
