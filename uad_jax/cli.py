"""Functions that start a command and report a user's mistake in one sentence."""

import os
import pathlib
import re
import sys
from collections.abc import Callable

import jax
from absl import app, flags, logging

import uad_jax
from uad_jax import parallel
from uad_jax.data import cache
from uad_jax.registry import config_path
from uad_jax.train import Diverged, Interrupted

MISTAKES = (ValueError, OSError, ImportError, flags.Error, Diverged, Interrupted)
"""Errors that end a command with one sentence instead of a traceback."""


def prepare() -> None:
  """Sets up JAX before a command runs.

  The CPU is split into several devices, and freed memory is kept for reuse. Compiled
  programs are kept between runs in `cache.folder()`, if there is one. In a distributed
  job the connection to the other hosts is opened.
  """
  parallel.split_cpu()
  parallel.keep_memory()
  logging.set_verbosity(logging.WARNING)  # orbax logs every save otherwise
  folder = cache.folder()
  if folder is not None:
    jax.config.update('jax_compilation_cache_dir', str(folder))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.3)
  parallel.initialize()


def sentence(error: BaseException) -> str:
  """Shortens the message of an exception to one line.

  An absl error about a config file contains a whole traceback; only its last line, the
  cause, is returned. For an OSError about a file, the line is 'PATH: REASON'.
  """
  if isinstance(error, OSError) and error.strerror and error.filename:
    return f'{os.fsdecode(error.filename)}: {error.strerror}'
  lines = [line.strip() for line in str(error).splitlines() if line.strip()]
  if isinstance(error, flags.Error) and lines:
    lines = lines[-1:]
  return ' '.join(lines) or type(error).__name__


def unknown_key(error: BaseException) -> ValueError:
  """Rewords the error of ml_collections about an unknown config key, in one sentence.

  Args:
    error: AttributeError or KeyError whose text names the key, perhaps with the nearest
      known key ('Did you mean "..."').
  """
  names = re.findall(r'[\w.]+', str(error.args[0]).replace('\\n', ' '))
  near = re.search(r'Did you mean "(\w+)"', str(error))
  hint = f"; the nearest is '{near.group(1)}'" if near else ''
  return ValueError(f"the config has no key '{names[0]}'{hint}")


def with_config_paths(argv: list[str]) -> list[str]:
  """Replaces each config name in command-line arguments, `--config=NAME`, by its path.

  The argument of the config, after a colon, is not changed, nor is a path that ends in
  .py.
  """

  def resolved(text: str) -> str:
    name, colon, argument = text.partition(':')
    return f'{config_path(name)}{colon}{argument}'

  named, result = False, []
  for text in argv:
    if named:
      text = resolved(text)
    elif text.startswith('--config='):
      text = f'--config={resolved(text.removeprefix("--config="))}'
    named = text == '--config'
    result.append(text)
  return result


def run(main: Callable[[list[str]], None]) -> None:
  """Runs a command: parses the flags, sets up JAX and calls `main`.

  An error of a type in `MISTAKES` ends the process with one sentence on stderr, see
  `stop`.

  Args:
    main: Function that does the work of the command; its parameter is the list of the
      arguments that are not flags.
  """

  def parse(argv):
    try:
      return flags.FLAGS(with_config_paths(argv))
    except (AttributeError, KeyError) as error:
      stop(unknown_key(error))
    except MISTAKES as error:
      stop(error)

  def guarded(argv):
    if len(argv) > 1:
      stop(ValueError(f"unknown argument '{argv[1]}'; options start with --"))
    try:
      prepare()
      main(argv)
    except MISTAKES as error:
      stop(error)
    except KeyboardInterrupt:
      stop(Interrupted('stopped; the same command goes on from there'))

  try:
    uad_jax.heed_interrupts()
    app.run(guarded, flags_parser=parse)
  except KeyboardInterrupt:  # while the flags and the config are read
    stop(Interrupted('interrupted'))


def stop(error: BaseException) -> None:
  """Prints the message of an error as one line and ends the process.

  The exit status is 130 after `Interrupted`, otherwise 1.

  Raises:
    SystemExit: Always; but with the environment variable `UAD_TRACEBACK` set, the error
      itself, for its traceback.
  """
  if os.environ.get('UAD_TRACEBACK'):
    raise error
  program = pathlib.Path(sys.argv[0])
  name = program.parent.name if program.stem == '__main__' else program.stem
  print(f'{name}: {sentence(error)}', file=sys.stderr)
  sys.exit(130 if isinstance(error, Interrupted) else 1)
