import io

import pytest

from uad_jax import progress


class Terminal(io.StringIO):
  def isatty(self):
    return True


@pytest.fixture
def clock(monkeypatch):
  now = [100.0]
  monkeypatch.setattr(progress.time, 'monotonic', lambda: now[0])
  return now


def test_the_line_has_rate_and_time_left(clock):
  shown = progress.Progress(40, 'test', io.StringIO())
  clock[0] += 5
  shown.update(10, 'loss 0.1')
  assert shown.line() == 'test 10/40  2/s  0:15 left  loss 0.1'


def test_a_terminal_gets_one_rewritten_line_and_a_log_few_lines(clock):
  terminal, log = Terminal(), io.StringIO()
  for stream in (terminal, log):
    shown = progress.Progress(100, 'x', stream)
    for done in range(1, 101):
      clock[0] += 1
      shown.update(done)
    shown.close()
  assert terminal.getvalue().count('\n') == 1
  assert terminal.getvalue().count('\r') == 101
  assert log.getvalue().count('\n') == 4  # at 30, 60, 90 seconds, and at the end
  assert '\r' not in log.getvalue()


def test_nothing_is_written_too_often(clock):
  terminal = Terminal()
  shown = progress.Progress(1000, 'x', terminal)
  for done in range(1000):
    clock[0] += 0.001
    shown.update(done)
  assert terminal.getvalue().count('\r') <= 5


def test_the_generator_yields_all_and_closes_when_it_is_left(capsys):
  assert list(progress.progress(3, 'count')) == [0, 1, 2]
  assert 'count 3/3' in capsys.readouterr().err
  assert list(progress.progress(iter('ab'), 'letters')) == ['a', 'b']
  assert 'letters 2  ' in capsys.readouterr().err
  running = progress.progress('abc', 'left')
  next(running)
  running.close()
  assert 'left 0/3' in capsys.readouterr().err


@pytest.mark.parametrize(
  'seconds, text', [(0, '0:00'), (12.9, '0:12'), (61, '1:01'), (3725, '1:02:05')]
)
def test_durations(seconds, text):
  assert progress.duration(seconds) == text
