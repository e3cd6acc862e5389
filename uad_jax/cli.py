"""What all commands share: start-up, and one clear sentence for a person's mistake."""

import os
import pathlib
import re
import sys
from collections.abc import Callable

import jax
from absl import app, flags, logging

from uad_jax import parallel
from uad_jax.data import cache
from uad_jax.train import Diverged, Interrupted

MISTAKES = (ValueError, OSError, ImportError, flags.Error, Diverged, Interrupted)


def prepare() -> None:
  """Keeps compiled programs between runs, and joins the other hosts if there are some.

  See `cache.folder` for where.
  """
  parallel.split_cpu()
  parallel.keep_memory()
  logging.set_verbosity(logging.WARNING)  # orbax tells every save otherwise
  jax.config.update('jax_compilation_cache_dir', str(cache.folder()))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.3)
  parallel.initialize()


def sentence(error: BaseException) -> str:
  """An error's text on one line; of a config file's error the last line, the cause."""
  lines = [line.strip() for line in str(error).splitlines() if line.strip()]
  if isinstance(error, flags.Error) and lines:
    lines = lines[-1:]
  return ' '.join(lines) or type(error).__name__


def unknown_key(error: BaseException) -> ValueError:
  """ml_collections' complaint about a key of the config, as a sentence."""
  names = re.findall(r'[\w.]+', str(error.args[0]).replace('\\n', ' '))
  near = re.search(r'Did you mean "(\w+)"', str(error))
  hint = f"; the nearest is '{near.group(1)}'" if near else ''
  return ValueError(f"the config has no key '{names[0]}'{hint}")


def run(main: Callable[[list[str]], None]) -> None:
  """Parses the flags and calls main; a mistake ends with its sentence and status 1.

  `UAD_TRACEBACK=1` shows where it was raised.
  """

  def parse(argv):
    try:
      return flags.FLAGS(argv)
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

  app.run(guarded, flags_parser=parse)


def stop(error: BaseException) -> None:
  """Ends the process: 130 when it was asked to stop, 1 otherwise."""
  if os.environ.get('UAD_TRACEBACK'):
    raise error
  print(f'{pathlib.Path(sys.argv[0]).stem}: {sentence(error)}', file=sys.stderr)
  sys.exit(130 if isinstance(error, Interrupted) else 1)
