"""Reader of the state dictionaries of PyTorch, without PyTorch.

Two formats are read: a zip archive with data.pkl and one file for each storage (since
version 1.6), and the former sequence of pickles that the storages follow. Only the
names that a dictionary of tensors needs are unpickled; a file with any other is
refused, so that no code of a file runs.
"""

import collections
import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

TYPES = {
  'FloatStorage': np.float32,
  'DoubleStorage': np.float64,
  'HalfStorage': np.float16,
  'LongStorage': np.int64,
  'IntStorage': np.int32,
  'ShortStorage': np.int16,
  'CharStorage': np.int8,
  'ByteStorage': np.uint8,
  'BoolStorage': np.bool_,
}
"""Types of the storages."""

MAGIC = 0x1950A86A20F9469CFC6C
"""First number of the former format."""


class Pending:
  """Tensor whose storage has not been read yet.

  Attributes:
    storage: Its persistent name: type, key.
    offset: First element.
    shape: Sizes.
    strides: Strides, in elements.
  """

  def __init__(self, storage, offset, shape, strides, *_):
    self.storage, self.offset = storage, offset
    self.shape, self.strides = tuple(shape), tuple(strides)

  def array(self, data: np.ndarray) -> np.ndarray:
    """Returns the tensor, a copy of the elements of its storage.

    Raises:
      ValueError: It lies beyond the end of its storage.
    """
    reach = sum(
      (n - 1) * step for n, step in zip(self.shape, self.strides, strict=True)
    )
    if min((*self.shape, 1)) and not 0 <= self.offset <= self.offset + reach < len(
      data
    ):
      raise ValueError('a tensor lies beyond the end of its storage')
    steps = [step * data.itemsize for step in self.strides]
    return np.lib.stride_tricks.as_strided(
      data[self.offset :], self.shape, steps, writeable=False
    ).copy()


class Unpickler(pickle.Unpickler):
  """Unpickler of dictionaries of tensors, and of nothing else."""

  def find_class(self, module: str, name: str) -> Any:
    """Returns what a name of the pickle stands for.

    Raises:
      ValueError: The name belongs to no dictionary of tensors.
    """
    if (module, name) == ('collections', 'OrderedDict'):
      return collections.OrderedDict
    if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
      return Pending
    if (module, name) == ('torch._utils', '_rebuild_parameter'):
      return lambda tensor, *_: tensor
    if module == 'torch' and name in TYPES:
      return name
    raise ValueError(
      f'it holds {module}.{name}; allowed are state dictionaries, tensors by name'
    )

  def persistent_load(self, name: tuple) -> tuple[str, str]:
    """Returns type and key of a storage."""
    return name[1], str(name[2])


def _dictionary(entries: Any, data: Callable[[str, str], np.ndarray]) -> dict:
  """The arrays of a state dictionary, which may lie under 'state_dict'."""
  if isinstance(entries, dict) and isinstance(entries.get('state_dict'), dict):
    entries = entries['state_dict']
  if not isinstance(entries, dict):
    raise ValueError('it holds no dictionary')
  return {
    name: value.array(data(*value.storage))
    for name, value in entries.items()
    if isinstance(value, Pending)
  }


def _read_zip(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
  (pickled,) = (n for n in archive.namelist() if n.endswith('/data.pkl'))
  folder = pickled.removesuffix('data.pkl')
  entries = Unpickler(io.BytesIO(archive.read(pickled))).load()
  return _dictionary(
    entries,
    lambda kind, key: np.frombuffer(archive.read(f'{folder}data/{key}'), TYPES[kind]),
  )


def _read_pickles(file) -> dict[str, np.ndarray]:
  if Unpickler(file).load() != MAGIC:
    raise ValueError('it is of no known format')
  for _ in range(2):  # version of the format, sizes of the machine that wrote it
    Unpickler(file).load()
  entries, keys, raw = Unpickler(file).load(), Unpickler(file).load(), {}
  kinds = {}
  nested = entries.get('state_dict', entries) if isinstance(entries, dict) else {}
  for value in nested.values():
    if isinstance(value, Pending):
      kinds[value.storage[1]] = TYPES[value.storage[0]]
  for key in keys:
    (number,) = struct.unpack('<q', file.read(8))
    kind = np.dtype(kinds.get(str(key), np.float32))
    content = file.read(number * kind.itemsize)
    if len(content) != number * kind.itemsize:
      raise ValueError('it ends before its last storage')
    raw[str(key)] = np.frombuffer(content, kind)
  return _dictionary(entries, lambda _, key: raw[key])


def read(path: str) -> dict[str, np.ndarray]:
  """Reads the arrays of a checkpoint, by name.

  Args:
    path: File written by torch.save from a state dictionary, or from a dictionary that
      has one as 'state_dict'.

  Raises:
    ValueError: The file cannot be read as such.
    OSError: There is no such file.
  """
  try:
    if zipfile.is_zipfile(path):
      with zipfile.ZipFile(path) as archive:
        return _read_zip(archive)
    with open(path, 'rb') as file:
      return _read_pickles(file)
  except OSError:
    raise
  except Exception as error:  # of any type: a damaged pickle raises nearly all
    raise ValueError(f'{path} is no checkpoint that can be read: {error}') from None
