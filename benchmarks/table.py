"""Times every case in JAX and in PyTorch, and prints a table.

  python -m benchmarks.table [--json=FILE] [--rounds=N] [--only=WORDS]

The machine is rarely idle. So each round runs both functions of a case one after the
other, in one process; the table gives the best time of each and the median of the
rounds' ratios. `--json` stores the numbers; `--render=FILE` prints stored numbers.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time

from uad_jax import parallel
from uad_jax.comparison.costs import speed


def arguments() -> argparse.Namespace:
  """Parses the command line."""
  parser = argparse.ArgumentParser(prog='python -m benchmarks.table')
  parser.add_argument('--json', help='also store the numbers in this file')
  parser.add_argument('--render', help='print the table stored in this file instead')
  parser.add_argument('--rounds', type=int, default=7)
  parser.add_argument('--only', default='', help='cases whose name contains this')
  parser.add_argument(
    '--devices', type=int, default=parallel.usable_cores(), help='number of CPU devices'
  )
  parser.add_argument(
    '--threads', type=int, default=parallel.usable_cores(), help="PyTorch's"
  )
  return parser.parse_args()


def prepare(devices: int) -> None:
  """Sets the number of CPU devices and the memory allocator, before JAX starts.

  The allocator's settings serve PyTorch too.
  """
  os.environ['XLA_FLAGS'] = (
    os.environ.get('XLA_FLAGS', '')
    + f' --xla_force_host_platform_device_count={devices}'
  )
  parallel.keep_memory()


def milliseconds(function) -> float:
  """Wall time of one call, in milliseconds."""
  start = time.perf_counter()
  function()
  return 1e3 * (time.perf_counter() - start)


def measure(case, rounds: int) -> dict:
  """Times a case; returns best times and ratios.

  Args:
    case: The pair of functions.
    rounds: Number of times that each function is timed.
  """
  sides = [side for side in (case.ours, case.theirs) if side]
  for side in sides:
    side(), side()
  times = [[milliseconds(side) for side in sides] for _ in range(rounds)]
  best = [min(column) for column in zip(*times, strict=True)]
  result = {'ours_ms': best[0]}
  if case.theirs:
    ratio = statistics.median(ours / theirs for ours, theirs in times)
    result |= {'torch_ms': best[1], 'ratio_of_best': best[0] / best[1]}
    result |= {'median_ratio': ratio}
  return result


def main() -> None:
  """Command line: times the cases, prints the table and stores the numbers."""
  options = arguments()
  if options.render:
    with open(options.render) as file:
      print(speed(json.load(file)))
    return
  prepare(options.devices)
  import jax

  from benchmarks import cases

  if cases.torch:
    cases.torch.set_num_threads(options.threads)
  about = {
    'machine': platform.machine(),
    'cores': parallel.usable_cores(),
    'jax': jax.__version__,
    'devices': jax.device_count(),
    'torch': cases.torch.__version__ if cases.torch else 'not installed',
    'threads': options.threads,
  }
  stored = {'about': about, 'cases': {}}
  for name, make in cases.CASES.items():
    if options.only in name:
      stored['cases'][name] = measure(make(), options.rounds)
      print(name, stored['cases'][name], file=sys.stderr)
  print(speed(stored))
  if options.json:
    with open(options.json, 'w') as file:
      json.dump(stored, file, indent=2)


if __name__ == '__main__':
  main()
