"""Statistics without the records of each healthy subject in turn.

After an adaptation that adds the sums of target scans to the statistics of a method,
these same scans set the ranges with which new ones are compared. A scan is closer to a
mean that it is part of, so that new healthy scans would look rare beside it: they are
not exchangeable. Each subject is therefore inferred as a new one would be, without its
own records (leave-one-out, as in Barber et al. 2021, "Predictive inference with the
jackknife+").
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from uad_jax.data import pipeline
from uad_jax.evaluation.scans import rows, text
from uad_jax.method import Batch, Stats

Without = Callable[[Stats, Batch], Stats]
"""Function (stats, batch) -> statistics without the records of the batch."""


def by_subject(
  batches: Iterable[Mapping[str, np.ndarray]], without: Without, stats: Stats
) -> Iterator[tuple[list[dict[str, np.ndarray]], Stats]]:
  """Yields the batches of each subject, with the statistics that lack its records.

  Args:
    batches: Batches of one size of the scans that are in the statistics; the records of
      a subject come together.
    without: Removes records from the statistics.
    stats: Statistics with all of them.
  """
  batches = list(batches)
  size = len(batches[0]['weight']) if batches else 1
  for _, group in itertools.groupby(rows(batches), lambda row: text(row['subject'])):
    records = [{name: row[name] for name in row if name != 'weight'} for row in group]
    batched, reduced = list(pipeline.ordered_batches(records, size)), stats
    for batch in batched:
      reduced = without(reduced, batch)
    yield batched, reduced
