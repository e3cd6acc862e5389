"""Command line of a check whose results are kept in a file and rendered as a page."""

import argparse
import json
import pathlib
from collections.abc import Callable, Sequence

from uad_jax.report.atomic_files import write_text


def paths(name: str) -> tuple[pathlib.Path, pathlib.Path]:
  """Returns the file of a check's results, and its page."""
  return pathlib.Path(f'docs/{name}.json'), pathlib.Path(f'docs/{name}.md')


def command(
  name: str,
  rows: Sequence[str],
  measure: Callable[..., object],
  page: Callable[[dict], str],
  *parents: argparse.ArgumentParser,
) -> None:
  """Measures the rows that have no result yet, and writes the page.

  Args:
    name: Name of the check, a module of this folder.
    rows: Names of its rows.
    measure: (row, seed, further arguments by name) -> result, for JSON.
    page: Results by row and seed -> Markdown.
    *parents: Parsers of further arguments.
  """
  results, output = paths(name)
  parser = argparse.ArgumentParser(f'python -m benchmarks.{name}', parents=parents)
  parser.add_argument('--rows', default=','.join(rows))
  parser.add_argument('--seeds', default='0')
  parser.add_argument('--render', action='store_true')
  options = vars(parser.parse_args())
  asked, seeds, render = (options.pop(name) for name in ('rows', 'seeds', 'render'))
  kept = json.loads(results.read_text()) if results.exists() else {}
  for row in [] if render else asked.split(','):
    if row not in rows:
      raise SystemExit(f"{name}: unknown row '{row}'; there are {[*rows]}")
    for seed in seeds.split(','):
      if seed not in kept.setdefault(row, {}):
        kept[row][seed] = measure(row, int(seed), **options)
        print(f'{row} seed {seed}: {kept[row][seed]}', flush=True)
        write_text(results, json.dumps(kept, indent=1, sort_keys=True) + '\n')
  write_text(output, page(kept))
  print(output)
