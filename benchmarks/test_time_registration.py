"""Measures how long `moment_registration` takes to register a head, and its parts.

  python -m benchmarks.test_time_registration [--rounds=N]

Volumes of random blobs of the size of a head at 3 and at 2 mm, one head at a time and
batches of two, which share the cores. The whole inference, by the settings of
configs/moment_registration.py, is four registrations more than the uniform field: two
reweighted ones and two composed ones. The goals are 2 s a head at 3 mm and 8 s at 2 mm,
on two cores.
"""

import argparse

import jax
import jax.numpy as jnp

from benchmarks.table import milliseconds
from uad_jax import experiment
from uad_jax.comparison.benchmark_rows import read_config
from uad_jax.ops.filters import gaussian_smooth
from uad_jax.registration import gauss_newton

SHAPES = {'3 mm': (56, 64, 56), '2 mm': (80, 96, 80)}


def head(shape: tuple[int, ...], batch: int, seed: int) -> jax.Array:
  """Smooth random volumes [B, *S, 1] of about [0, 1]."""
  noise = jax.random.uniform(jax.random.key(seed), (batch, *shape, 1))
  smooth = gaussian_smooth(noise, 2.0)
  return (smooth - smooth.min()) / (smooth.max() - smooth.min())


def inference(shape: tuple[int, ...], batch: int):
  """Makes a function that does the whole inference of `moment_registration`."""
  config = read_config('moment_registration', 'ixi3d')
  config.method.rounds = 1
  method = experiment.make_method(config, shape, 1)
  image = head(shape, batch, 0)
  scan = {
    'image': image,
    'mask': jnp.ones_like(image),
    'position': jnp.full(batch, 0.5),
    'weight': jnp.ones(batch),
  }
  _, stats = method.init(jax.random.key(0), scan)
  several = {**scan, 'image': head(shape, batch, 1)}
  for objective in method.objectives.values():
    _, (stats, _) = objective.loss({}, stats, several, jax.random.key(0), 0)
  infer = jax.jit(method.infer)
  return lambda: jax.block_until_ready(infer({}, stats, scan, jax.random.key(0)))


def uniform(shape: tuple[int, ...], batch: int):
  """Makes a function that registers once, with all voxels."""
  image, expected = head(shape, batch, 0), head(shape, batch, 1)
  ones = jnp.ones_like(image)
  register = jax.jit(
    lambda x, m: gauss_newton.register(
      gauss_newton.Problem(x, m, 0.01 * ones, ones, 4.0),
      schedule=gauss_newton.Schedule((8, 6, 1)),
    )
  )
  return lambda: jax.block_until_ready(register(image, expected))


def main() -> None:
  """Command line: times both functions and prints the table."""
  parser = argparse.ArgumentParser(prog='python -m benchmarks.test_time_registration')
  parser.add_argument('--rounds', type=int, default=3)
  options = parser.parse_args()
  print(
    '| voxels | batch | uniform, s a head | inference, s a head |\n|---|---|---|---|'
  )
  for name, shape in SHAPES.items():
    for batch in (1, 2):
      cells = []
      for make in (uniform, inference):
        function = make(shape, batch)
        function()  # compiles
        best = min(milliseconds(function) for _ in range(options.rounds))
        cells.append(f'{best / 1000 / batch:.2f}')
      print(f'| {name} | {batch} | {" | ".join(cells)} |', flush=True)


if __name__ == '__main__':
  main()
