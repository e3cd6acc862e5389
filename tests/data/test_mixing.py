"""Splits summed from several data sets: parsing, training, evaluation, fingerprint."""

import json
import types

import numpy as np
import pytest

from uad_jax.data import mixing, pipeline, record
from uad_jax.data.mixing import Term
from uad_jax.data.reading import Mixture

SIZES = {'': {'train': 8, 'val': 3, 'test': 4}, 'oasis': {'train': 6, 'test': 2}}


class Builder:
  """A prepared data set in memory: 100 times its number is in its images."""

  def __init__(self, name, number, shape=(4, 4), velocity=0):
    self.name, self.number = name, number
    self.features = record.features(shape, velocity=velocity)
    splits = SIZES[name]
    self.info = types.SimpleNamespace(features=self.features, splits=splits)

  def digest(self):
    return f'digest of {self.number}'

  def as_data_source(self, split, deserialize_method):
    return [self.stored(index) for index in range(SIZES[self.name][split])]

  def stored(self, index):
    value = 100 * self.number + index
    found = {
      name: np.full(feature.shape, value if name == 'image' else 1, feature.np_dtype)
      for name, feature in self.features.items()
    }
    texts = dict.fromkeys(('session', 'domain', 'pathology', 'details'), 'x')
    return self.features.serialize_example(
      found | texts | {'subject': f's{index // 2}', 'slice': index % 2}
    )


@pytest.fixture(scope='module')
def records():
  builders = {'': Builder('', 1, velocity=3), 'oasis': Builder('oasis', 2)}
  return mixing.reader(builders)


def data(**changes):
  return {
    'name': 'nifti_folder', 'dir': 'data', 'train': 'train', 'val': 'val',
    'test': 'test', 'selection': 'painted',
    'others': {'oasis': {'name': 'nifti_folder', 'source': 'there'}},
  } | changes  # fmt: skip


def values(batch):
  return batch['image'][:, 0, 0, 0].astype(int).tolist()


def taken(stream, batches):
  return [value for _ in range(batches) for value in values(next(stream))]


@pytest.mark.parametrize(
  'text, terms',
  [
    ('train', [Term('', 'train')]),
    ('brats/test', [Term('brats', 'test')]),
    ('train+few_shot_b', [Term('', 'train'), Term('', 'few_shot_b')]),
    (' train + 0.5*oasis-1/train ', [Term('', 'train'), Term('oasis-1', 'train', 0.5)]),
    ('2 * a/x + .5*b/x', [Term('a', 'x', 2.0), Term('b', 'x', 0.5)]),
  ],
)
def test_expressions(text, terms):
  assert mixing.parse(text) == tuple(terms)


@pytest.mark.parametrize(
  'text',
  ['', 'train +', 'train oasis', 'x*train', '0*train', '-1*train', '1.2.3*a', 'a/b/c'],
)
def test_a_malformed_expression_is_named(text):
  with pytest.raises(ValueError, match='not understood; allowed are sums of .WEIGHT'):
    mixing.parse(text)


@pytest.mark.parametrize(
  'changes, sentence',
  [
    (dict(train='train + oasi/train'), "names the data set 'oasi'; .*others has oasis"),
    (dict(test='b/test', others=None), "names the data set 'b'; .*others has none"),
    (dict(test='0.5*test + oasis/test'), 'config.data.test = .* has a weight; allowed'),
    (dict(val='2*val'), 'config.data.val = .* has a weight; allowed'),
    (dict(selection='test + test'), 'names one split twice'),
  ],
)
def test_a_mistake_in_a_split_is_named(changes, sentence):
  with pytest.raises(ValueError, match=sentence):
    mixing.chosen(data(**changes))


def test_only_what_is_named_is_opened_and_the_training_comes_first():
  assert list(mixing.chosen(data())) == ['']
  plain = data()
  del plain['others']
  assert mixing.chosen(plain)[''] == {'name': 'nifti_folder', 'dir': 'data'}
  found = mixing.chosen(data(train='oasis/train + train'))
  assert list(found) == ['oasis', '']
  assert found['oasis'] == {'name': 'nifti_folder', 'source': 'there', 'dir': 'data'}
  elsewhere = {'oasis': {'name': 'a', 'dir': 'there', 'test': 'x'}}
  found = mixing.chosen(data(test='oasis/test', others=elsewhere))
  assert found['oasis'] == {'name': 'a', 'dir': 'there'}


def test_unequal_shapes_are_refused():
  builders = {'': Builder('', 1), 'oasis': Builder('oasis', 2, (4, 5))}
  with pytest.raises(
    ValueError, match=r'data are \(4, 4, 1\) .*others.oasis are \(4, 5'
  ):
    mixing.check_agreement(builders)
  mixing.check_agreement({'': Builder('', 1), 'oasis': Builder('oasis', 2)})


def test_an_unknown_split_of_another_data_set_is_named(records):
  with pytest.raises(
    ValueError, match="'oasis' has no split 'val'; there are train, t"
  ):
    records('val + oasis/val')


def test_without_weights_all_records_are_shuffled_together(records):
  stream = pipeline.training_stream(records('train + oasis/train'), 7, seed=0)
  first, second = taken(stream, 2), taken(stream, 2)
  everything = [*range(100, 108), *range(200, 206)]
  assert sorted(first) == sorted(second) == everything
  assert first != second


def test_weights_are_shares_of_the_examples(records):
  mixed = records('3*train + oasis/train')
  stream = pipeline.training_stream(mixed, 8, seed=0)
  found = taken(stream, 12)
  for start in range(0, 96, 8):  # in each batch
    assert sum(value >= 200 for value in found[start : start + 8]) == 2
  for low, size in ((100, 8), (200, 6)):  # each has its own epochs, in new orders
    own = [value for value in found if low <= value < low + 100]
    epochs = [own[i : i + size] for i in range(0, len(own) - size + 1, size)]
    assert len(epochs) >= 4
    assert all(sorted(e) == list(range(low, low + size)) for e in epochs)
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize('text', ['train + 0.5*oasis/train', 'train + oasis/train'])
def test_a_mixture_is_deterministic_and_resumes_exactly(records, text):
  stream = pipeline.training_stream(records(text), 4, seed=3)
  taken(stream, 5)
  state = json.loads(json.dumps(stream.get_state()))
  expected = taken(stream, 9)
  other = pipeline.training_stream(records(text), 4, seed=3, threads=2)
  other.set_state(state)
  assert taken(other, 9) == expected
  another = pipeline.training_stream(records(text), 4, seed=4)
  assert taken(another, 14)[20:] != expected


@pytest.mark.parametrize('hosts', [2, 3])
def test_hosts_share_a_mixture(records, hosts):
  mixed = records('2*train + oasis/train')
  alone = pipeline.training_stream(mixed, 6, seed=0)
  streams = [pipeline.training_stream(mixed, 6, 0, h, hosts) for h in range(hosts)]
  for _ in range(20):
    together = [value for stream in streams for value in values(next(stream))]
    assert sorted(together) == sorted(values(next(alone)))


@pytest.mark.parametrize('hosts', [1, 2, 3])
def test_an_evaluation_sees_all_of_both_and_keeps_their_subjects_apart(records, hosts):
  mixed = records('test + oasis/test')
  assert isinstance(mixed, Mixture) and len(mixed) == 6
  found = []
  for host in range(hosts):
    for batch in pipeline.ordered_batches(mixed, 4, host, hosts):
      assert 'velocity' not in batch and len(batch['image']) == 4
      for value, subject, weight in zip(
        values(batch), batch['subject'].tolist(), batch['weight'], strict=True
      ):
        if weight:
          found.append((value, subject))
  assert sorted(found) == [
    (100, 's0'), (101, 's0'), (102, 's1'), (103, 's1'), (200, 'oasis/s0'),
    (201, 'oasis/s0'),
  ]  # fmt: skip
  with pytest.raises(IndexError):
    mixed[6]


def test_one_split_is_itself(records):
  assert 'velocity' in records('test')[0]
  assert records('oasis/test')[0]['subject'] == 's0'
  assert records('test + oasis/test').parts == (records('test'), records('oasis/test'))


def test_the_fingerprint_tells_unequal_data_apart():
  builders = {'': Builder('', 1), 'oasis': Builder('oasis', 2)}
  assert mixing.digest({'': builders['']}, data()) == 'digest of 1'
  assert mixing.digest({'oasis': builders['oasis']}, data()) == 'digest of 2'

  def told(builders=builders, **changes):
    return mixing.digest(builders, data(train='train + oasis/train', **changes))

  tests = ('test', 'oasis/test', 'test + oasis/test')
  found = {told(test=test) for test in tests}
  assert len(found) == 3 and all(len(text) == 64 for text in found)
  # Neither the order nor the names are of the data, and no weight changes them.
  assert told(test='oasis/test + test') in found
  named = {'': builders[''], 'b': builders['oasis']}
  options = {'train': '2*b/train + train', 'test': 'b/test', 'others': {'b': {}}}
  assert mixing.digest(named, data(**options)) in found
  other = builders | {'oasis': Builder('oasis', 3)}
  assert not {told(other, test=test) for test in tests} & found
