"""A line on stderr that says how far, how fast and how long still."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TextIO, TypeVar

TERMINAL_SECONDS = 0.2
LOG_SECONDS = 30.0

T = TypeVar('T')


def duration(seconds: float) -> str:
  """12 -> '0:12', 3725 -> '1:02:05'."""
  minutes, seconds = divmod(int(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours}:{minutes:02d}:{seconds:02d}' if hours else f'{minutes}:{seconds:02d}'


class Progress:
  """Shows progress: one rewritten line on a terminal, now and then a line in a log."""

  def __init__(self, total: int | None, label: str, stream: TextIO | None = None):
    self._total, self._label = total, label
    self._stream = stream or sys.stderr
    self._terminal = self._stream.isatty()
    self._pause = TERMINAL_SECONDS if self._terminal else LOG_SECONDS
    self._start = self._shown = time.monotonic()
    self._done, self._first, self._note = 0, 0, ''

  def update(self, done: int, note: str = '') -> None:
    """Says that `done` of the total are done; shown if the last line is old enough."""
    self._done, self._note = done, note
    now = time.monotonic()
    if now - self._shown >= self._pause:
      self._shown = now
      self._write()

  def resume(self, done: int) -> None:
    """Says that `done` were done before the clock started, so that the rate is true."""
    self._done = self._first = done

  def close(self) -> None:
    """Shows the last state and ends the line."""
    self._write()
    if self._terminal:
      self._stream.write('\n')
      self._stream.flush()

  def line(self) -> str:
    """'evaluate 12/40  3.1/s  0:09 left  note'."""
    elapsed = max(time.monotonic() - self._start, 1e-9)
    rate = (self._done - self._first) / elapsed
    of = '' if self._total is None else f'/{self._total}'
    parts = [f'{self._label} {self._done}{of}', f'{rate:.3g}/s']
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
  """Yields the items, or range(items), and shows how far it is."""
  if isinstance(items, int):
    items = range(items)
  shown = Progress(len(items) if isinstance(items, Sized) else None, label)
  try:
    for done, item in enumerate(items):
      yield item
      shown.update(done + 1)
  finally:
    shown.close()
