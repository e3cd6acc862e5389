"""What the cases are made of: ours and PyTorch's, each a function that runs once."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from uad_jax import optimisers, parallel
from uad_jax.method import Method, init_state, make_update

try:
  import torch
except ImportError:
  torch = None


class Case(NamedTuple):
  """A pair to be timed, after both have run twice."""

  ours: Callable[[], None]
  theirs: Callable[[], None] | None


def noise(*shape, seed=0) -> np.ndarray:
  return np.random.default_rng(seed).normal(size=shape).astype('float32')


def scans(batch: int, size: int) -> dict[str, np.ndarray]:
  """A batch of random images, all of them brain."""
  image = np.random.default_rng(0).uniform(size=(batch, size, size, 1))
  return {
    'image': image.astype('float32'),
    'mask': np.ones(image.shape, 'float32'),
    'position': np.linspace(0, 1, batch, dtype='float32'),
    'weight': np.ones(batch, 'float32'),
  }


def run(function, *arguments) -> Callable[[], None]:
  """The jitted function of arrays split over the devices by their batch."""
  mesh = parallel.mesh()
  if len(arguments[0]) % mesh.size == 0:
    arguments = parallel.shard(dict(enumerate(arguments)), mesh).values()
  else:
    arguments = [jnp.asarray(x) for x in arguments]
  compiled = parallel.jit(function, quick=False)
  return lambda: jax.block_until_ready(compiled(*arguments))


def planes(x: np.ndarray):
  """[B, *S, C] as a channels-last tensor [B, C, *S]."""
  x = torch.from_numpy(np.moveaxis(x, -1, 1).copy())
  last = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
  return x.contiguous(memory_format=last)


def our_step(
  method: Method, batch: dict, objective: str, **options
) -> Callable[[], None]:
  """One update of an objective by an optimiser, 'adam' unless the options say else."""
  options = {'name': 'adam', 'schedule': 'constant', 'clip': 0.0} | options
  tx = {name: optimisers.make(1, **options) for name in method.objectives}
  mesh, key = parallel.mesh(), jax.random.key(0)
  start = jax.jit(lambda k, x: init_state(method, tx, k, x))
  state = parallel.replicate(start(key, batch), mesh)
  data = parallel.shard(batch, mesh)
  # As in a long training: compiled well rather than quickly.
  update = make_update(method, tx, (1 << 30, 1 << 30))((objective,))

  def ours():
    nonlocal state
    state, _ = update(state, {'train': data}, key)
    jax.block_until_ready(state)

  return ours


def their_step(net, loss: Callable, **options) -> Callable[[], None]:
  """The same of a PyTorch network by Adam; `loss` takes nothing."""
  optimiser = torch.optim.Adam(net.parameters(), **options)

  def theirs():
    optimiser.zero_grad()
    loss().backward()
    optimiser.step()

  return theirs


def our_output(method: Method, batch: dict, output: str) -> Callable[[], None]:
  """One output of the inference; what it does not need is not computed."""
  params, stats = jax.jit(method.init)(jax.random.key(0), batch)

  def infer(*values):
    given = dict(zip(batch, values, strict=True))
    return method.infer(params, stats, given, jax.random.key(1))[output]

  return run(infer, *batch.values())


def their_output(function: Callable) -> Callable[[], None]:
  @torch.no_grad()
  def theirs():
    function()

  return theirs
