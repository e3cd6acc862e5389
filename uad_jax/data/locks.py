"""File locks that let one process at a time build a data set or train in a run folder.

A process locks a file by `flock`; the operating system frees the lock when the process
ends, also after a crash. On file systems without `flock` the lock is the existence of a
file with process number and host name. Such a file is replaced if its process ran on
this host and has ended.
"""

import contextlib
import errno
import os
import pathlib
import socket
import sys
import time
from collections.abc import Callable, Iterator

try:
  import fcntl
except ImportError:  # Windows
  fcntl = None

PAUSE = 0.5
"""Time between two tries to take a lock that another process holds, in seconds."""

UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
"""Errors of file systems that have no `flock`."""

Release = Callable[[], None]
"""Function that frees a lock."""


class Busy(ValueError):
  """Error raised if another process holds the lock; the message names this process."""


@contextlib.contextmanager
def alone(path: pathlib.Path, waiting: Callable[[str], None] | None) -> Iterator[None]:
  """Context manager that holds a file lock, which one process at a time can hold.

  The file is deleted at the end. A process must not take a lock that it already holds.

  Args:
    path: Path of the lock file; its folder is made if it is missing.
    waiting: Function that is called once, before the wait, if another process holds the
      lock; its argument is a text such as 'process 12 on host'. None does not wait.

  Raises:
    Busy: Another process holds the lock, and `waiting` is None.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  announced = False
  while isinstance(release := _attempt(path), str):
    if waiting is None:
      raise Busy(release)
    if not announced:
      waiting(release)
    announced = True
    time.sleep(PAUSE)
  try:
    yield
  finally:
    release()


class BuiltAlone:
  """Mixin for TFDS builders that lets only one process at a time prepare a data set."""

  def download_and_prepare(self, **options) -> None:
    """Prepares the data set if it is missing, after any other process that prepares it.

    Args:
      **options: Arguments of `tfds.core.DatasetBuilder.download_and_prepare`.

    Raises:
      OSError: The data cannot be written; the error names a file or `data_dir`.
    """
    try:
      self._build_alone(super().download_and_prepare, options)
    except OSError as error:
      if error.filename or error.errno is None:
        raise
      # Where a file is written, as opposed to opened, the system does not name it.
      raise OSError(error.errno, error.strerror, str(self.data_dir)) from error

  def _build_alone(self, build: Callable, options: dict) -> None:
    """Calls `build`, which returns at once if the data set exists, as the only one."""
    if os.path.isdir(self.data_dir):
      build(**options)
    else:
      name = f'{self.name}/{self.builder_config.name}'

      def waiting(process):
        print(f'{name} is being prepared by {process}; waiting', file=sys.stderr)

      root = pathlib.Path(self.data_dir).parents[2]
      with alone(root / '.parts' / f'{name.replace("/", "-")}.lock', waiting):
        build(**options)
    if not self.info.splits:  # another process has built it since it was opened
      self.info.read_from_directory(self.data_dir)


def _attempt(path: pathlib.Path) -> Release | str:
  """Tries to take a lock; returns a function that frees it, or words for its holder."""
  if fcntl is None:
    return _attempt_by_name(path.with_suffix('.pid'))
  while True:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
      fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
      text = os.read(handle, 1000).decode(errors='replace')
      os.close(handle)
      if error.errno in UNSUPPORTED:
        with contextlib.suppress(OSError):
          path.unlink()
        return _attempt_by_name(path.with_suffix('.pid'))
      if isinstance(error, BlockingIOError):
        return _words(text)
      raise
    if _is_file(handle, path):
      break
    os.close(handle)  # the holder before deleted it after it was opened here
  os.ftruncate(handle, 0)
  os.pwrite(handle, _here().encode(), 0)

  def release():
    with contextlib.suppress(OSError):
      path.unlink()  # before the lock is freed: nobody can have taken it meanwhile
    os.close(handle)

  return release


def _attempt_by_name(path: pathlib.Path) -> Release | str:
  """Takes a lock that is the existence of a file, as `_attempt` does."""
  while True:
    try:
      handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
      try:
        text = path.read_text()
      except FileNotFoundError:
        continue
      number, _, host = text.partition(' ')
      if host == socket.gethostname() and not _runs(number):
        path.unlink(missing_ok=True)
        continue
      return f'{_words(text)} (delete {path} if that process has ended)'
    with os.fdopen(handle, 'w') as file:
      file.write(_here())

    def release():
      path.unlink(missing_ok=True)

    return release


def _here() -> str:
  """Text that a lock holds: number of this process and name of its host."""
  return f'{os.getpid()} {socket.gethostname()}'


def _words(text: str) -> str:
  """Words for the process whose `_here` is `text`."""
  number, _, host = text.partition(' ')
  return f'process {number} on {host}' if host else 'another process'


def _is_file(handle: int, path: pathlib.Path) -> bool:
  """Whether an open file is the one that the path names now."""
  try:
    return os.path.samestat(os.fstat(handle), os.stat(path))
  except FileNotFoundError:
    return False


def _runs(number: str) -> bool:
  """Whether a process of this host with this number exists."""
  try:
    os.kill(int(number), 0)
  except (ProcessLookupError, ValueError):
    return False
  except PermissionError:  # of another user
    return True
  return True
