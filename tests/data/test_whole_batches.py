"""Whole batches: one pass over a shuffled stream holds each record once."""

import numpy as np
import pytest

from tests.data.slice_records import make_records
from uad_jax.data import pipeline
from uad_jax.data.whole_batches import WholeBatches


def values(batch, weight):
  return batch['image'][batch['weight'] == weight][:, 0, 0, 0].tolist()


@pytest.mark.parametrize('size', [4, 5, 12, 16])
def test_each_pass_of_a_stream_holds_each_record_once(size):
  records = make_records(4, 3)
  expected = sorted(records[i]['image'][0, 0, 0] for i in range(12))
  filled = WholeBatches(records, size)
  batches = -(-12 // size)
  assert len(filled) == batches * size
  stream = pipeline.training_stream(filled, size, seed=2)
  for _ in range(3):
    one_pass = [next(stream) for _ in range(batches)]
    real = [value for batch in one_pass for value in values(batch, 1)]
    filling = [value for batch in one_pass for value in values(batch, 0)]
    assert sorted(real) == expected
    assert filling == [records[11]['image'][0, 0, 0]] * (batches * size - 12)


def test_the_examples_are_those_of_the_records():
  records = make_records(4, 3)
  filled = WholeBatches(records, 8)
  for index in (0, 7, 11):
    example, expected = filled.example(index), records.example(index)
    for name, value in expected.items():
      np.testing.assert_array_equal(example[name], value)
  assert filled.example(12)['weight'] == 0
