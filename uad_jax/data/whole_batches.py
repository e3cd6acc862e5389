"""Sequence that fills the records of a split up to whole batches."""

from collections.abc import Sequence

import numpy as np

from uad_jax.data.reading import Subset


class WholeBatches(Subset):
  """Sequence of all records of a split, filled up to a multiple of the batch size.

  The last record is repeated with weight 0. A pass of whole batches over a shuffled
  stream then holds each record once, whatever their number.

  Args:
    records: Records of the split.
    size: Batch size.
  """

  def __init__(self, records: Sequence, size: int):
    self._number = len(records)
    last = [self._number - 1] * (-self._number % size)
    super().__init__(records, [*range(self._number), *last])

  def example(self, index: int) -> dict[str, np.ndarray]:
    """Returns the arrays that training needs; 'weight' is 0 for filling records."""
    weight = np.float32(index < self._number)
    return super().example(index) | {'weight': weight}
