"""Functions that hold the scans of a split in memory and infer them in several ways."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from uad_jax.data import pipeline
from uad_jax.evaluation.scans import Scan, assemble, scan_name, text
from uad_jax.inference import Inference
from uad_jax.method import Key, Params, Stats

TRUTH = ('lesion', 'twin', 'labels')
"""Arrays of the records that a method never sees."""


class Model(NamedTuple):
  """Trained method, ready to infer.

  Attributes:
    infer: Compiled inference with the maps 'multiscale' and 'multiscale_usual'.
    params: Parameters, on the devices.
    stats: Statistics, on the devices.
    key: Random key.
    size: Examples of a batch.
    uncertain: As `infer`, with draws of the displacement; or None.
  """

  infer: Inference
  params: Params
  stats: Stats
  key: Key
  size: int
  uncertain: Inference | None = None


class Heads(NamedTuple):
  """All records (volumes or slices) of a split.

  Attributes:
    arrays: Arrays [n, ...] by name, as in a batch of the evaluation.
    names: [n] name of the scan of each record.
    subjects: [n] name of the subject.
  """

  arrays: dict[str, np.ndarray]
  names: np.ndarray
  subjects: np.ndarray

  @property
  def lesion(self) -> np.ndarray:
    """Lesion voxels, bool [n, *S, 1]; none where the data set has no lesion masks."""
    if 'lesion' not in self.arrays:
      return np.zeros(self.arrays['mask'].shape, bool)
    return (self.arrays['lesion'] > 0) & (self.arrays['mask'] > 0)

  @property
  def sick(self) -> np.ndarray:
    """Whether the scan of each record has lesion voxels, bool [n]."""
    holds = self.lesion.reshape(len(self.names), -1).any(1)
    with_lesion = set(self.names[holds].tolist())
    return np.array([name in with_lesion for name in self.names.tolist()])

  @property
  def has_twins(self) -> bool:
    """Whether the lesion-free twin of each record with a lesion is known.

    An unknown twin is all zeros, see `data.record`.
    """
    if 'twin' not in self.arrays:
      return False
    count = len(self.names)
    holds = self.lesion.reshape(count, -1).any(1)
    return bool(self.arrays['twin'].reshape(count, -1).any(1)[holds].all())

  def without_twins(self) -> 'Heads':
    """Returns the records without their lesion-free twins."""
    return self._replace(
      arrays={name: x for name, x in self.arrays.items() if name != 'twin'}
    )

  def only(self, rows: np.ndarray) -> 'Heads':
    """Returns the chosen records."""
    arrays = {name: values[rows] for name, values in self.arrays.items()}
    return Heads(arrays, self.names[rows], self.subjects[rows])


def load(records: Sequence) -> Heads:
  """Reads all records of a split.

  Args:
    records: Records of the split.

  Raises:
    ValueError: There are none.
  """
  if not len(records):
    raise ValueError('the split is empty; the study needs scans')
  (batch,) = pipeline.ordered_batches(records, len(records))
  rows = [
    {'subject': subject, 'session': session}
    for subject, session in zip(batch['subject'], batch['session'], strict=True)
  ]
  subjects = np.array([text(row['subject']) for row in rows])
  return Heads(batch, np.array([scan_name(row) for row in rows]), subjects)


def inferred(
  model: Model,
  heads: Heads,
  entries: Mapping[str, np.ndarray | float] | None = None,
  image: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
  """Infers all records, with entries that ask the method for another inference.

  Args:
    model: Trained method.
    heads: Records.
    entries: Entries of the batch: arrays [n, ...], or numbers for all records.
    image: Images [n, *S, C] in the place of the records'; None keeps them.

  Returns:
    Maps and outputs of the method [n, ...] by name, see `Inference.maps`.
  """
  number = len(heads.names)
  seen = {name: heads.arrays[name] for name in ('mask', 'position', 'weight')}
  seen['image'] = heads.arrays['image'] if image is None else image
  for name, value in (entries or {}).items():
    seen[name] = np.full(number, value) if np.ndim(value) == 0 else value
  seen = {name: np.asarray(value, np.float32) for name, value in seen.items()}
  parts = []
  for start in range(0, number, model.size):
    batch = {name: value[start : start + model.size] for name, value in seen.items()}
    known = len(batch['weight'])
    batch = pipeline.padded(batch, model.size)
    key = jax.random.fold_in(model.key, start)
    outputs = jax.device_get(model.infer.maps(model.params, model.stats, batch, key))
    parts.append({name: value[:known] for name, value in outputs.items()})
  return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def scans(heads: Heads, arrays: Mapping[str, np.ndarray]) -> Iterator[Scan]:
  """Assembles the records to scans with further arrays.

  Args:
    heads: Records, those of a scan in a row.
    arrays: Arrays [n, *S, ...] by name, added to those of the records.
  """
  table = heads.arrays | arrays
  everywhere = range(len(heads.names))
  for _, rows in itertools.groupby(everywhere, lambda row: heads.names[row]):
    yield assemble([{name: x[row] for name, x in table.items()} for row in rows])
