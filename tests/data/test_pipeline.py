import json

import numpy as np
import pytest

from uad_jax.data import pipeline


def make_records(subjects=5, slices=3):
  records = []
  for s in range(subjects):
    for k in range(slices):
      array = np.full((4, 4, 1), 10 * s + k, np.float32)
      records.append(
        {
          'image': array,
          'twin': array,
          'mask': np.ones((4, 4, 1), np.uint8),
          'lesion': np.zeros((4, 4, 1), np.uint8),
          'labels': np.zeros((4, 4, 1), np.uint8),
          'position': np.float32(k / slices),
          'subject': f's{s}'.encode(),
          'session': b'',
          'domain': b'a',
          'pathology': b'none',
          'details': b'{}',
          'slice': np.int32(k),
        }
      )
  return pipeline.Records(records)


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


def test_hosts_share_the_global_batch():
  streams = [
    pipeline.training_stream(make_records(4, 2), 4, 0, host, 2) for host in range(2)
  ]
  values = [v for stream in streams for _ in range(2) for v in seen(next(stream))]
  assert len(values) == 8 and len(set(values)) == 8


@pytest.mark.parametrize('hosts', [1, 2, 3])
def test_evaluation_sees_each_record_once_and_subjects_whole(hosts):
  found = []
  for host in range(hosts):
    mine = []
    for batch in pipeline.ordered_batches(make_records(), 4, host, hosts):
      assert len(batch['image']) == 4
      real = batch['weight'] > 0
      mine += [
        (str(s), int(k))
        for s, k in zip(batch['subject'][real], batch['slice'][real], strict=True)
      ]
    assert mine == sorted(mine)
    found += mine
  assert sorted(found) == [(f's{s}', k) for s in range(5) for k in range(3)]
  assert len(found) == 15


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
