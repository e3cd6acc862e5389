"""Functions that apply a simulated domain shift to whole scans in evaluation batches.

A scan comes as a sequence of slices, over several batches; a shift has to see all of
them at once, for the contrast of the scan and for thick slices.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from uad_jax.data.pipeline import padded
from uad_jax.domain_shift.intensity_range import Shift
from uad_jax.evaluation.scans import rows, scan_name


def shifted_batches(
  batches: Iterable[Mapping[str, np.ndarray]], shift: Shift, seed: int = 0
) -> Iterator[dict[str, np.ndarray]]:
  """Applies a shift to each scan and yields batches as those of the input.

  The random numbers of a scan depend on `seed` and its name alone, and not on its place
  among the scans. Position, slice index and affine stay those of the grid.

  Args:
    batches: Batches of `data.pipeline.ordered_batches`: [B, *S, C] arrays by name, with
      'subject' and 'weight'; the slices of a scan come together, in order.
    shift: One of `shifts.SHIFTS`, made with its options.
    seed: Seed of the random numbers.

  Yields:
    Batches of the same size; the last is padded with weight 0.
  """
  size, pending, ready = 0, [], []

  def flush(least):
    while len(ready) >= least and ready:
      chosen, ready[:size] = ready[:size], []
      yield padded({k: np.stack([r[k] for r in chosen]) for k in chosen[0]}, size)

  for batch in batches:
    size = size or len(batch['weight'])
    for row in rows([batch]):
      if pending and scan_name(pending[0]) != scan_name(row):
        ready += shifted_scan(pending, shift, seed)
        pending = []
        yield from flush(size)
      pending.append(row)
  if pending:
    ready += shifted_scan(pending, shift, seed)
  yield from flush(1)


def shifted_scan(records: list[dict], shift: Shift, seed: int = 0) -> list[dict]:
  """Applies a shift to one scan, as a list of its slices or of its single volume.

  Args:
    records: Slices of a scan in order, or its volume, each as values by name.
    shift: One of `shifts.SHIFTS`, made with its options.
    seed: Seed of the random numbers, together with the name of the scan.

  Returns:
    As many records, with shifted arrays; what is no array on the grid is unchanged.
  """
  first = records[0]
  grid = first['mask'].shape[:-1]
  names = [name for name in first if np.shape(first[name])[: len(grid)] == grid]
  planar = len(grid) == 2
  arrays = {
    name: np.stack([record[name] for record in records], 2) if planar else first[name]
    for name in names
  }
  rng = np.random.default_rng((seed, zlib.crc32(scan_name(first).encode())))
  arrays = shift(arrays, rng)
  if not planar:
    return [{**first, **arrays}]
  return [
    {**record, **{name: arrays[name][:, :, index] for name in names}}
    for index, record in enumerate(records)
  ]
