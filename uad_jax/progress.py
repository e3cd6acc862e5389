"""Progress display on stderr: number of items done, rate and remaining time."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TextIO, TypeVar

TERMINAL_SECONDS = 0.2
"""Shortest time between two writes to a terminal."""

LOG_SECONDS = 30.0
"""Shortest time between two lines in a log file."""

T = TypeVar('T')


def duration(seconds: float) -> str:
  """Formats a duration in seconds as minutes and seconds, with hours if needed.

  12 becomes '0:12' and 3725 becomes '1:02:05'.
  """
  minutes, seconds = divmod(int(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours}:{minutes:02d}:{seconds:02d}' if hours else f'{minutes}:{seconds:02d}'


class Progress:
  """Display of the progress of a loop, as a line of text.

  On a terminal the line is rewritten in place; in a log file lines are added.
  """

  def __init__(self, total: int | None, label: str, stream: TextIO | None = None):
    """Starts the clock of the display.

    Args:
      total: Number of items to do; None where it is unknown.
      label: Name of the work, which begins the line.
      stream: Text stream to write to; stderr by default.
    """
    self._total, self._label = total, label
    self._stream = stream or sys.stderr
    self._terminal = self._stream.isatty()
    self._pause = TERMINAL_SECONDS if self._terminal else LOG_SECONDS
    self._start = self._shown = time.monotonic()
    self._done, self._note = 0, ''

  def update(self, done: int, note: str = '') -> None:
    """Sets the number of items done and rewrites the progress line.

    The line is not written again if it was written a moment ago.

    Args:
      done: Number of items done.
      note: Text to end the line with, such as a loss.
    """
    self._done, self._note = done, note
    now = time.monotonic()
    if now - self._shown >= self._pause:
      self._shown = now
      self._write()

  def close(self) -> None:
    """Writes the final progress line, and on a terminal a line break."""
    self._write()
    if self._terminal:
      self._stream.write('\n')
      self._stream.flush()

  def line(self) -> str:
    """Returns the progress line, with items done, rate and remaining time.

    An example is 'evaluate 12/40  3.1/s  0:09 left  note'.
    """
    elapsed = max(time.monotonic() - self._start, 1e-9)
    rate = self._done / elapsed
    total = '' if self._total is None else f'/{self._total}'
    parts = [f'{self._label} {self._done}{total}', f'{rate:.3g}/s']
    if self._total is None or self._done >= self._total:
      parts.append(f'in {duration(elapsed)}')
    elif rate:
      parts.append(f'{duration((self._total - self._done) / rate)} left')
    return '  '.join([*parts, self._note] if self._note else parts)

  def _write(self) -> None:
    # On a terminal: back to the start of the line, and clear what the last one left.
    text = f'\r\033[K{self.line()}' if self._terminal else f'{self.line()}\n'
    self._stream.write(text)
    self._stream.flush()


def progress(items: Iterable[T] | int, label: str) -> Iterator[T]:
  """Yields the items of an iterable and shows on stderr how many are done.

  Args:
    items: Items to yield; a number n yields 0 to n - 1.
    label: Name of the work, which begins the line.
  """
  if isinstance(items, int):
    items = range(items)
  shown = Progress(len(items) if isinstance(items, Sized) else None, label)
  try:
    for done, item in enumerate(items):
      yield item
      shown.update(done + 1)
  finally:
    shown.close()
