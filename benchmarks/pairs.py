"""Builds the functions of a case, in JAX and in PyTorch: updates, outputs, inputs."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from uad_jax import optimisers, parallel
from uad_jax.method import Method
from uad_jax.update import init_state, make_update

try:
  import torch
except ImportError:
  torch = None


class Case(NamedTuple):
  """Pair of functions to be timed; each is called twice before.

  Attributes:
    ours: Runs the case once in JAX.
    theirs: Runs the case once in PyTorch; None if PyTorch is not installed.
  """

  ours: Callable[[], None]
  theirs: Callable[[], None] | None


def noise(*shape, seed=0) -> np.ndarray:
  """Normal random numbers of a shape, float32."""
  return np.random.default_rng(seed).normal(size=shape).astype('float32')


def scans(batch: int, *grid: int) -> dict[str, np.ndarray]:
  """Makes a batch of random images [B, *S, 1] whose brain mask is the whole image."""
  image = np.random.default_rng(0).uniform(size=(batch, *grid, 1))
  return {
    'image': image.astype('float32'),
    'mask': np.ones(image.shape, 'float32'),
    'position': np.linspace(0, 1, batch, dtype='float32'),
    'weight': np.ones(batch, 'float32'),
  }


def run(function, *arguments) -> Callable[[], None]:
  """Makes a function that runs a jitted function on arrays sharded over the devices.

  The arrays are sharded along the batch if the devices divide it.
  """
  mesh = parallel.mesh()
  if len(arguments[0]) % mesh.size == 0:
    arguments = parallel.shard(dict(enumerate(arguments)), mesh).values()
  else:
    arguments = [jnp.asarray(x) for x in arguments]
  compiled = parallel.jit(function, quick=False)
  return lambda: jax.block_until_ready(compiled(*arguments))


def planes(x: np.ndarray):
  """Converts an array [B, *S, C] to a channels-last PyTorch tensor [B, C, *S]."""
  x = torch.from_numpy(np.moveaxis(x, -1, 1).copy())
  last = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
  return x.contiguous(memory_format=last)


def our_step(
  method: Method, batch: dict, objective: str, **options
) -> Callable[[], None]:
  """Makes a function that performs one update of an objective in JAX.

  Args:
    method: The method.
    batch: [B, *S, C] images and masks, as `method.Batch`.
    objective: Name of the objective.
    options: Options of `optimisers.make`; the optimiser is Adam by default.
  """
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
  """Makes a function that performs one update of a PyTorch network with Adam.

  Args:
    net: PyTorch network.
    loss: Function without arguments that returns the loss.
    options: Options of `torch.optim.Adam`.
  """
  optimiser = torch.optim.Adam(net.parameters(), **options)

  def theirs():
    optimiser.zero_grad()
    loss().backward()
    optimiser.step()

  return theirs


def our_output(method: Method, batch: dict, output: str) -> Callable[[], None]:
  """Makes a function that computes one output of a method's inference in JAX.

  Args:
    method: The method.
    batch: [B, *S, C] images and masks, as `method.Batch`.
    output: Name of the output; other outputs are not computed.
  """
  params, stats = jax.jit(method.init)(jax.random.key(0), batch)

  def infer(*values):
    given = dict(zip(batch, values, strict=True))
    return method.infer(params, stats, given, jax.random.key(1))[output]

  return run(infer, *batch.values())


def their_output(function: Callable) -> Callable[[], None]:
  """Makes a function that calls a PyTorch function without gradients."""

  @torch.no_grad()
  def theirs():
    function()

  return theirs
