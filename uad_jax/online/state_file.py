"""State of a stream on disk: one .npz file, which one process at a time may change.

Arrays are entries of the file; everything else, the log included, is JSON in the entry
`content`. A digest over all entries tells a damaged file, the hash of the model a file
of another model.
"""

import contextlib
import hashlib
import io
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from uad_jax.data.locks import Busy, alone
from uad_jax.online.adaptive_conformal import AdaptiveLevel
from uad_jax.online.background_mixture import Background, Rule
from uad_jax.online.exchangeability import Drift
from uad_jax.online.extreme_values import Spot
from uad_jax.online.false_discovery import Discoveries
from uad_jax.online.guards import Guards, Log, Votes
from uad_jax.online.recurrence_filter import Description, Patterns, Reference
from uad_jax.online.residual_descriptors import Scale
from uad_jax.online.residual_memory import Memory
from uad_jax.online.scan_decision import Calibration
from uad_jax.online.shadow_lesions import Shadow
from uad_jax.online.stream_settings import Settings
from uad_jax.online.stream_state import Stream
from uad_jax.online.voxel_tracking import ExponentialMoments

VERSION = 1
"""Version of the file's form."""

PARTS = (
  *(AdaptiveLevel, Background, Calibration, Description, Discoveries, Drift),
  *(ExponentialMoments, Guards, Memory, Patterns, Reference, Rule, Scale, Settings),
  *(Shadow, Spot, Stream, Votes),
)
TYPES = {part.__name__: part for part in PARTS}
"""Tuples that a state is made of, by name."""

Arrays = dict[str, np.ndarray]


class Saved(NamedTuple):
  """Content of a state file.

  Attributes:
    stream: State of the stream.
    log: Log lines since the start, see `stream.replay`.
  """

  stream: Stream
  log: Sequence[Log]


class Access(NamedTuple):
  """Functions of a process that alone may change a state file.

  Attributes:
    read: Function () -> content; None if there is no file yet.
    write: Function (content), which replaces the file atomically.
  """

  read: Callable[[], Saved | None]
  write: Callable[[Saved], None]


@contextlib.contextmanager
def opened(path: pathlib.Path, model: str) -> Iterator[Access]:
  """Context manager that holds a state file, so that no other process changes it.

  Args:
    path: The file; its folder is made if it is missing.
    model: Hash of the model whose maps the stream gets, at most that of its config and
      parameters.

  Yields:
    Functions that read and write the file.

  Raises:
    Busy: Another process holds the file.
    OSError: The file cannot be written; the old one stays, and the error names it.
  """
  with contextlib.ExitStack() as stack:
    try:
      stack.enter_context(alone(path.with_name(f'.{path.name}.lock'), None))
    except Busy as error:
      raise Busy(f'{path} is in use by {error}; allowed is one at a time') from error
    yield Access(
      lambda: read(path, model) if path.exists() else None,
      lambda saved: _write(path, model, saved),
    )


def read(path: pathlib.Path, model: str) -> Saved:
  """Reads a state file; it is complete at any time, as it is replaced atomically.

  Args:
    path: The file.
    model: Hash of the model.

  Returns:
    The state of the stream and its log.

  Raises:
    ValueError: The file is damaged, of another version or of another model.
    OSError: The file cannot be read.
  """
  data = path.read_bytes()
  try:
    content, arrays = _unpacked(data)
  except Exception as error:  # zipfile, zlib, struct and numpy have errors of their own
    raise ValueError(
      f'{path} is damaged; allowed is a whole state file, such as a copy, or none'
    ) from error
  if content['version'] != VERSION:
    raise ValueError(f'{path} has version {content["version"]}; allowed is {VERSION}')
  if content['model'] != model:
    raise ValueError(
      f'{path} is the state of model {content["model"]}; allowed is that of {model}, '
      'or a new file'
    )
  return Saved(_joined(content['stream'], arrays), content['log'])


def _unpacked(data: bytes) -> tuple[dict[str, Any], Arrays]:
  """Content and arrays of a state file, if they have the digest that is in it."""
  with np.load(io.BytesIO(data), allow_pickle=False) as file:
    arrays = {name: file[name] for name in file.files}
  content = json.loads(arrays.pop('content').tobytes())
  if arrays.pop('digest').tobytes() != _digest(content, arrays):
    raise ValueError('the digest differs')
  return content, arrays


def _write(path: pathlib.Path, model: str, saved: Saved) -> None:
  """Writes a state file: first a temporary file beside it, which is then renamed."""
  arrays: Arrays = {}
  content = {'version': VERSION, 'model': model, 'log': list(saved.log)}
  content['stream'] = _split(saved.stream, 'stream', arrays)
  entries = {
    'content': np.frombuffer(_text(content), np.uint8),
    'digest': np.frombuffer(_digest(content, arrays), np.uint8),
  }
  handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
  try:
    with os.fdopen(handle, 'wb') as file:
      np.savez(file, **entries, **arrays)
      file.flush()
      os.fsync(file.fileno())
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)
  except OSError as error:
    os.unlink(temporary)
    raise OSError(error.errno, error.strerror, str(path)) from error
  except BaseException:
    os.unlink(temporary)
    raise


def _split(value: Any, place: str, arrays: Arrays) -> Any:
  """JSON form of a part of the state; its arrays are added to `arrays`."""
  if isinstance(value, np.ndarray | np.generic):
    arrays[place] = np.asarray(value)
    return {'array': place}
  if isinstance(value, tuple):
    names = getattr(value, '_fields', range(len(value)))
    parts = [
      _split(part, f'{place}.{name}', arrays)
      for name, part in zip(names, value, strict=True)
    ]
    return {'type': type(value).__name__, 'parts': parts}
  return value


def _joined(form: Any, arrays: Mapping[str, np.ndarray]) -> Any:
  """Part of the state from its JSON form, the inverse of `_split`."""
  if not isinstance(form, dict):
    return form
  if 'array' in form:
    return arrays[form['array']][()]  # of no axes: a number of numpy
  parts = [_joined(part, arrays) for part in form['parts']]
  return TYPES[form['type']](*parts) if form['type'] in TYPES else tuple(parts)


def _text(content: Mapping[str, Any]) -> bytes:
  """Content as JSON; numbers are read back to the same bits."""
  return json.dumps(content, sort_keys=True).encode()


def _digest(content: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
  """SHA-256 over the content and all arrays with their names, types and shapes."""
  total = hashlib.sha256(_text(content))
  for name in sorted(arrays):
    values = arrays[name]
    total.update(f'{name} {values.dtype} {values.shape}'.encode())
    total.update(np.ascontiguousarray(values).tobytes())
  return total.digest()
