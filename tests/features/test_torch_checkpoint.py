"""Checkpoints of PyTorch, written here without it, are read and converted."""

import collections
import io
import pickle
import struct
import sys
import types
import zipfile

import numpy as np
import pytest

from uad_jax.features import stored_weights, torch_checkpoint


class Storage:
  def __init__(self, array, key):
    self.array, self.key = array, key


class Pickler(pickle.Pickler):
  """Pickles storages as persistent names, as torch does."""

  def persistent_id(self, value):
    if isinstance(value, Storage):
      kind = getattr(sys.modules['torch'], KINDS[value.array.dtype.name])
      return ('storage', kind, value.key, 'cpu', value.array.size)
    return None


KINDS = {'float32': 'FloatStorage', 'float64': 'DoubleStorage', 'int64': 'LongStorage'}


class Tensor:
  """Pickles as torch's tensors do."""

  def __init__(self, array, key, offset=0):
    self.array, self.key, self.offset = array, key, offset

  def __reduce__(self):
    a = self.array
    strides = tuple(s // a.itemsize for s in a.strides)
    base = a if a.base is None else a.base
    storage = Storage(base.reshape(-1), self.key)
    arguments = (
      storage,
      self.offset,
      a.shape,
      strides,
      False,
      collections.OrderedDict(),
    )
    return sys.modules['torch._utils']._rebuild_tensor_v2, arguments


@pytest.fixture
def torch(monkeypatch):
  """Modules with the names that a pickle of torch refers to."""
  module, utils = types.ModuleType('torch'), types.ModuleType('torch._utils')
  for name in KINDS.values():
    setattr(module, name, type(name, (), {'__module__': 'torch'}))

  def _rebuild_tensor_v2():
    raise AssertionError('is only referred to')

  _rebuild_tensor_v2.__module__ = 'torch._utils'
  _rebuild_tensor_v2.__qualname__ = '_rebuild_tensor_v2'
  utils._rebuild_tensor_v2 = _rebuild_tensor_v2
  monkeypatch.setitem(sys.modules, 'torch', module)
  monkeypatch.setitem(sys.modules, 'torch._utils', utils)


def pickled(value):
  file = io.BytesIO()
  Pickler(file, 2).dump(value)
  return file.getvalue()


WHOLE = np.arange(12, dtype=np.float32).reshape(3, 4)
TENSORS = {
  'plain': (WHOLE, '0', 0),
  'transposed': (WHOLE.T, '0', 0),
  'part': (WHOLE[1:, 2:], '0', 6),
  'count': (np.array(7), '1', 0),
}
STORAGES = {'0': WHOLE.reshape(-1), '1': np.array([7])}


def write_zip(path, value):
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('archive/data.pkl', pickled(value))
    for key, array in STORAGES.items():
      archive.writestr(f'archive/data/{key}', array.tobytes())


def write_pickles(path, value):
  with open(path, 'wb') as file:
    for part in (torch_checkpoint.MAGIC, 1001, {}):
      pickle.dump(part, file, 2)
    file.write(pickled(value))
    pickle.dump(list(STORAGES), file, 2)
    for array in STORAGES.values():
      file.write(struct.pack('<q', array.size) + array.tobytes())


@pytest.mark.parametrize('write', [write_zip, write_pickles])
@pytest.mark.parametrize('nested', [False, True])
def test_checkpoints_of_both_formats_are_read(write, nested, torch, tmp_path):
  tensors = collections.OrderedDict((k, Tensor(*v)) for k, v in TENSORS.items())
  write(tmp_path / 'w.pth', {'state_dict': tensors} if nested else tensors)
  arrays = torch_checkpoint.read(str(tmp_path / 'w.pth'))
  assert sorted(arrays) == sorted(TENSORS)
  for name, (expected, *_) in TENSORS.items():
    np.testing.assert_array_equal(arrays[name], expected)
  number = stored_weights.convert(str(tmp_path / 'w.pth'), str(tmp_path / 'w.npz'))
  assert number == 3  # a count of batches is no weight
  again = stored_weights.read(str(tmp_path / 'w.npz'), ['part'], 'vgg19', 'fae')
  np.testing.assert_array_equal(again['part'], WHOLE[1:, 2:])
  assert sorted(p.name for p in tmp_path.iterdir()) == ['w.npz', 'w.pth']


def test_a_file_with_code_or_a_damaged_one_is_refused(torch, tmp_path):
  class Harm:
    def __reduce__(self):
      return eval, ('1/0',)

  path = tmp_path / 'w.pth'
  write_zip(path, {'a': Harm()})
  with pytest.raises(ValueError, match=r'it holds \w+\.eval; allowed are state'):
    torch_checkpoint.read(str(path))
  write_pickles(path, {k: Tensor(*v) for k, v in TENSORS.items()})
  path.write_bytes(path.read_bytes()[:-4])
  with pytest.raises(ValueError, match='ends before its last storage'):
    torch_checkpoint.read(str(path))
  path.write_text('no checkpoint')
  with pytest.raises(ValueError, match='is no checkpoint that can be read'):
    torch_checkpoint.read(str(path))
