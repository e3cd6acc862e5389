"""Measures what the robust training step `wrm` costs, beside the plain step.

  python -m benchmarks.robust_training [--rounds=N]

`denoising_ae`, slices of 64 x 64, batches of 16, by the number T of steps of the inner
maximisation. Each round times the plain and all robust steps one after the other; the
table gives the best time of each and the median of the rounds' ratios. T + 1 gradients
of the image and one of the parameters are taken; the goal is a ratio of T + 2 at most.
"""

import argparse
import statistics

from benchmarks.table import milliseconds
from benchmarks.training_step import training_step
from uad_jax.comparison.benchmark_rows import read_config

SHAPE, BATCH = (64, 64), 16
STEPS = (1, 3, 7, 15)
"""Values of T."""


def robust_step(steps: int | None):
  """Makes a function that does one training step with T = `steps`; None is plain."""
  config = read_config('denoising_ae', 'demo')
  if steps is not None:
    config.adapt = {'wrm': {'steps': steps, 'loss': 'denoising'}}
  return training_step(config, SHAPE, BATCH)


def main() -> None:
  """Command line: times the steps and prints the table."""
  parser = argparse.ArgumentParser(prog='python -m benchmarks.robust_training')
  parser.add_argument('--rounds', type=int, default=7)
  options = parser.parse_args()
  functions = {name: robust_step(name) for name in (None, *STEPS)}
  for function in functions.values():
    function()  # compiles
  rounds = [
    {name: milliseconds(function) for name, function in functions.items()}
    for _ in range(options.rounds)
  ]
  print('| step | best, ms | ratio to plain | T + 2 |\n|---|---|---|---|')
  for name in functions:
    best = min(times[name] for times in rounds)
    ratio = statistics.median(times[name] / times[None] for times in rounds)
    words = ('plain', '–') if name is None else (f'T = {name}', name + 2)
    print(f'| {words[0]} | {best:.0f} | {ratio:.2f} | {words[1]} |')


if __name__ == '__main__':
  main()
