import collections
import json

import numpy as np
import pytest

from tests.data.slice_records import make_records
from uad_jax.data import pipeline


def seen(batch):
  return batch['image'][:, 0, 0, 0].tolist()


def test_a_restored_stream_continues_exactly():
  stream = pipeline.training_stream(make_records(), 4, seed=3)
  for _ in range(5):
    next(stream)
  state = json.loads(json.dumps(stream.get_state()))
  expected = [seen(next(stream)) for _ in range(6)]
  other = pipeline.training_stream(make_records(), 4, seed=3)
  other.set_state(state)
  assert [seen(next(other)) for _ in range(6)] == expected


def test_an_epoch_gives_every_record_once_and_another_order_next_time():
  stream = pipeline.training_stream(make_records(4, 3), 4, seed=0)
  first, second = ([v for _ in range(3) for v in seen(next(stream))] for _ in range(2))
  assert sorted(first) == sorted(second) == sorted({*first})
  assert first != second


@pytest.mark.parametrize('hosts', [2, 3])
@pytest.mark.parametrize('subjects', [4, 5])
def test_hosts_share_the_batches_that_one_host_would_see(subjects, hosts):
  """Also where an epoch (12 or 15 records) does not divide over the hosts."""
  alone = pipeline.training_stream(make_records(subjects), 6, 0)
  streams = [
    pipeline.training_stream(make_records(subjects), 6, 0, host, hosts)
    for host in range(hosts)
  ]
  values = []
  for _ in range(5 * subjects):
    together = [value for stream in streams for value in seen(next(stream))]
    assert sorted(together) == sorted(seen(next(alone)))
    # The order of one host: the hosts' examples by turns.
    values += np.array(together).reshape(hosts, -1).T.ravel().tolist()
  for epoch in range(len(values) // (3 * subjects)):
    part = values[epoch * 3 * subjects : (epoch + 1) * 3 * subjects]
    assert len(set(part)) == len(part)


def test_a_batch_that_does_not_divide_over_the_hosts_is_refused():
  with pytest.raises(ValueError, match='batch_size 4 does not divide over 3 hosts'):
    pipeline.training_stream(make_records(), 4, 0, 0, 3)


@pytest.mark.parametrize('cache_bytes', [0, 1000, 10**6])
@pytest.mark.parametrize('threads', [1, 2])
def test_neither_memory_nor_threads_change_what_is_streamed(
  monkeypatch, cache_bytes, threads
):
  monkeypatch.setattr(pipeline.Examples.__init__, '__defaults__', (cache_bytes,))
  records = make_records(cache_bytes=0)
  stream = pipeline.training_stream(records, 4, 3, threads=threads)
  monkeypatch.undo()
  plain = pipeline.training_stream(make_records(), 4, 3)
  for _ in range(20):
    batch, expected = next(stream), next(plain)
    assert list(batch) == list(expected) == ['image', 'mask', 'position', 'weight']
    for name in batch:
      assert batch[name].dtype == np.float32
      np.testing.assert_array_equal(batch[name], expected[name])


def test_an_example_is_what_the_record_says():
  records = make_records()
  stream = pipeline.training_stream(records, 5, seed=1)
  by_value = {record['image'][0, 0, 0]: record for record in records}
  for _ in range(6):
    batch = next(stream)
    for i in range(5):
      record = by_value[batch['image'][i, 0, 0, 0]]
      for name in ('image', 'mask', 'position'):
        np.testing.assert_array_equal(batch[name][i], record[name])


def test_batches_of_one_example():
  stream = pipeline.training_stream(make_records(), 1, 3)
  pairs = pipeline.training_stream(make_records(), 2, 3)
  for _ in range(20):
    pair = next(pairs)['image']
    for image in pair:
      np.testing.assert_array_equal(next(stream)['image'], image[None])


def test_a_training_reads_each_record_once_and_no_more_than_it_needs():
  reads = collections.Counter()

  class Light(list):
    def __getitem__(self, index):
      reads[index] += 1
      return super().__getitem__(index)

  whole = [make_records()[i] for i in range(15)]
  light = [{n: r[n] for n in ('image', 'mask', 'position')} for r in whole]
  stream = pipeline.training_stream(pipeline.Records([None] * 15, Light(light)), 5, 0)
  for _ in range(12):
    next(stream)
  # One more for the shape of the first, and perhaps one for it twice in reading ahead.
  assert len(reads) == 15 and sum(reads.values()) <= 17


def ragged():
  """Subjects of 1, 3, 2, 1 and 3 slices."""
  kept = [0, 3, 4, 5, 6, 7, 9, 12, 13, 14]
  return [make_records()[i] for i in kept]


@pytest.mark.parametrize('hosts', [1, 2, 3])
@pytest.mark.parametrize('records', [make_records(), ragged()], ids=['even', 'ragged'])
def test_evaluation_sees_each_record_once_and_subjects_whole(records, hosts):
  found, subjects = [], []
  for host in range(hosts):
    mine = []
    batches = list(pipeline.ordered_batches(records, 4, host, hosts))
    for number, batch in enumerate(batches):
      assert len(batch['image']) == len(batch['subject']) == 4
      real = batch['weight'] > 0
      assert real.all() or number == len(batches) - 1
      assert set(batch['weight'].tolist()) <= {0, 1} and real[0]
      mine += [
        (str(s), int(k))
        for s, k in zip(batch['subject'][real], batch['slice'][real], strict=True)
      ]
    assert mine == sorted(mine)
    found += mine
    subjects += sorted({subject for subject, _ in mine})
  assert sorted(found) == [(r['subject'], int(r['slice'])) for r in records]
  assert sorted(subjects) == [f's{s}' for s in range(5)]


def test_padding_repeats_the_last_with_weight_zero():
  *_, last = pipeline.ordered_batches(make_records(5, 1), 4)
  assert last['weight'].tolist() == [1, 0, 0, 0]
  assert seen(last) == [40, 40, 40, 40]


def test_records_are_decoded_once_and_only_while_there_is_room():
  class Counting(list):
    reads = 0

    def __getitem__(self, index):
      Counting.reads += 1
      return super().__getitem__(index)

  source = Counting([make_records()[i] for i in range(3)])
  records = pipeline.Records(source)
  assert [records[i]['subject'] for i in (0, 0, 1)] == ['s0', 's0', 's0']
  assert Counting.reads == 2
  small = pipeline.Records(source, cache_bytes=0)
  small[0], small[0]
  assert Counting.reads == 4


def test_an_empty_split_is_refused():
  with pytest.raises(ValueError, match='training split is empty'):
    pipeline.training_stream([], 4, 0)
