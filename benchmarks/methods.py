"""Measures the cost of each method: parameters, training step, scoring, memory.

  python -m benchmarks.methods [--json=docs/methods.json] [--methods=a,b]

All configs that are named as a method, at their size for 128 x 128 (argument `slices`),
on random images, so no data is read. Each method is measured in its own process, which
gives its peak of memory; a method that fails has its error message in the table.
`--methods` updates the named methods only; these may also be published presets.

Times are processor time, summed over its cores, because the machine is rarely idle;
with `taskset -c 0` they are the time of one core. The time of a step is the mean over
the cycle of objectives that are due, by stage. Compilation is measured apart.
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import time
from collections.abc import Callable

from uad_jax import parallel, registry
from uad_jax.comparison import costs
from uad_jax.comparison.benchmark_rows import read_config
from uad_jax.progress import progress

SIZE = 128
ENOUGH = 3.0
"""Seconds of repetition, after which another is not begun."""
SLOW = 10.0
"""Seconds of the first run above which it is taken as it is."""


def arguments() -> argparse.Namespace:
  """Parses the command line."""
  parser = argparse.ArgumentParser(prog='python -m benchmarks.methods')
  parser.add_argument('--json', type=pathlib.Path, help='store the numbers here')
  parser.add_argument('--methods', default='', help='only those; comma-separated')
  parser.add_argument('--limit', type=float, default=1200, help='seconds for each')
  parser.add_argument('--one', help=argparse.SUPPRESS)
  return parser.parse_args()


def known() -> list[str]:
  """Returns the names of the methods that have a config."""
  files = registry.names('methods')
  return [name for name in files if pathlib.Path(f'configs/{name}.py').exists()]


def seconds(function: Callable[[], None]) -> float:
  """Processor time of one call, in seconds."""
  start = time.process_time()
  function()
  return time.process_time() - start


def repeated(function: Callable[[], None]) -> float:
  """Mean processor time of a call, after one to warm up, within about ENOUGH seconds.

  A call that takes more than SLOW seconds is measured once.
  """
  first = seconds(function)
  if first > SLOW:
    return first
  times = [seconds(function)]
  while sum(times) < ENOUGH:
    times.append(seconds(function))
  return sum(times) / len(times)


def peak_mib() -> float:
  """Peak memory of this process, in MiB.

  Read from VmHWM, which a fork does not inherit, unlike the value of getrusage.
  """
  status = pathlib.Path('/proc/self/status').read_text().splitlines()
  (line,) = [line for line in status if line.startswith('VmHWM:')]
  return int(line.split()[1]) / 1024


def measure(name: str) -> dict:
  """Measures one method; to be called in a process of its own.

  Returns:
    Entry of the method in methods.json.
  """
  parallel.split_cpu()
  parallel.keep_memory()
  import jax
  import numpy as np

  from uad_jax import experiment
  from uad_jax.method import bind
  from uad_jax.update import init_state, make_update

  config = read_config(name, 'slices')
  method = experiment.make_method(config, (SIZE, SIZE), 1)
  tx = experiment.make_optimisers(config, method)
  size = config.batch_size
  image = np.random.default_rng(0).uniform(size=(size, SIZE, SIZE, 1))
  batch = {
    'image': image.astype('float32'),
    'mask': np.ones(image.shape, 'float32'),
    'position': np.linspace(0, 1, size, dtype='float32'),
    'weight': np.ones(size, 'float32'),
  }
  start = parallel.jit(lambda key, batch: init_state(method, tx, key, batch))
  few = {k: v[:2] for k, v in batch.items()}
  mesh, key = parallel.mesh(), jax.random.key(1)
  state = parallel.replicate(start(jax.random.key(0, impl='rbg'), few), mesh)
  data = parallel.shard(batch, mesh)
  found = {
    'batch': size,
    'parameters': sum(leaf.size for leaf in jax.tree.leaves(state.params)),
    'compile_step': 0.0,
    'steps_ms': [0.0] * len(config.steps),
    'compile_scores': {},
    'scores': {},
  }
  ends = tuple(int(end) for end in np.cumsum(config.steps))
  updates = make_update(method, tx, ends)
  for label, objective in method.objectives.items():

    def update(label=label, split=objective.split):
      nonlocal state
      state, _ = updates((label,))(state, {split: data}, key)
      jax.block_until_ready(state)

    first = seconds(update)
    each = repeated(update)
    found['compile_step'] += first - each
    found['steps_ms'][objective.stage] += 1e3 * each / objective.every
  for row, scorer in experiment.make_scorers(config).items():

    def score(params, stats, batch, key, scorer=scorer):
      return scorer(bind(method, params, stats), batch, key)

    inputs = (state.params, state.stats, data, key)
    began = time.process_time()
    compiled = parallel.jit(score).lower(*inputs).compile()
    found['compile_scores'][row] = time.process_time() - began

    def run(compiled=compiled, inputs=inputs):
      jax.block_until_ready(compiled(*inputs))

    found['scores'][row] = repeated(run) / size
  return found | {'mib': peak_mib()}


def apart(name: str, limit: float) -> dict:
  """Runs `measure` in a fresh process; a failure gives {'error': message}.

  Args:
    name: Name of the method.
    limit: Time limit, seconds.
  """
  devices = os.environ.get('UAD_CPU_DEVICES', str(parallel.usable_cores()))
  command = [sys.executable, '-m', 'benchmarks.methods', f'--one={name}']
  try:
    told = subprocess.run(
      command,
      capture_output=True,
      text=True,
      timeout=limit,
      env=os.environ | {'UAD_CPU_DEVICES': devices},
    )
  except subprocess.TimeoutExpired:
    return {'error': f'not done within {limit:.0f} s'}
  if told.returncode:
    lines = told.stderr.strip().splitlines() or [f'ended with {told.returncode}']
    return {'error': lines[-1]}
  return json.loads(told.stdout.splitlines()[-1])


def main() -> None:
  """Command line: measures the methods, stores the numbers and prints the table."""
  options = arguments()
  if options.one:
    print(json.dumps(measure(options.one)))
    return
  stored = {'methods': {}}
  if options.json and options.json.exists():
    stored = json.loads(options.json.read_text())
  import jax

  stored['about'] = {
    'machine': platform.machine(),
    'cores': parallel.usable_cores(),
    'jax': jax.__version__,
    'size': SIZE,
  }
  names = options.methods.split(',') if options.methods else known()
  for name in progress(names, 'methods'):
    stored['methods'][name] = apart(name, options.limit)
    print(name, stored['methods'][name], file=sys.stderr, flush=True)
    stored['methods'] = dict(sorted(stored['methods'].items()))
    if options.json:
      options.json.write_text(json.dumps(stored, indent=1) + '\n')
  print(costs.methods(stored))


if __name__ == '__main__':
  main()
