"""Times every case against PyTorch, in one process and in turns, and prints a table.

  python -m benchmarks.table [--json=FILE] [--rounds=N] [--only=WORDS]

The machine is seldom quiet: each round runs ours and theirs one after the other, the
table gives the best time of each and the median of the rounds' ratios. `--json` stores
them; `--render=FILE` prints a stored table again.
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
  parser = argparse.ArgumentParser(prog='python -m benchmarks.table')
  parser.add_argument('--json', help='also store the numbers in this file')
  parser.add_argument('--render', help='print the table stored in this file instead')
  parser.add_argument('--rounds', type=int, default=7)
  parser.add_argument('--only', default='', help='cases whose name contains this')
  parser.add_argument(
    '--devices', type=int, default=parallel.own_cores(), help='CPU devices, one a core'
  )
  parser.add_argument(
    '--threads', type=int, default=parallel.own_cores(), help="PyTorch's"
  )
  return parser.parse_args()


def prepare(devices: int) -> None:
  """What a command does before it makes an array; the memory serves PyTorch as well."""
  os.environ['XLA_FLAGS'] = (
    os.environ.get('XLA_FLAGS', '')
    + f' --xla_force_host_platform_device_count={devices}'
  )
  parallel.keep_memory()


def milliseconds(function) -> float:
  start = time.perf_counter()
  function()
  return 1e3 * (time.perf_counter() - start)


def measure(case, rounds: int) -> dict:
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
    'cores': parallel.own_cores(),
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
