"""Functions for training on several devices, each with a part of every batch.

All devices hold the same parameters (data parallelism). The mesh of devices has one
axis, 'data'. The same code serves one CPU and a TPU pod: `jax.jit` sees the global
batch, so no code has to average over devices. A host is one process; "this host" is the
process that runs the code.
"""

import ctypes
import functools
import itertools
import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def initialize() -> None:
  """Connects this process to the other hosts of a distributed job.

  In a local job it does nothing. A job is distributed when the environment variables
  `UAD_COORDINATOR` (address:port), `UAD_HOSTS` (number of hosts) and `UAD_HOST` (index
  of this host) are set, as by launch/multihost_local.sh and launch/slurm.sh, or
  `UAD_POD` on a TPU pod.
  """
  if 'UAD_COORDINATOR' in os.environ:
    if os.environ.get('JAX_PLATFORMS', '') == 'cpu':
      jax.config.update('jax_cpu_collectives_implementation', 'gloo')
    jax.distributed.initialize(
      os.environ['UAD_COORDINATOR'],
      int(os.environ['UAD_HOSTS']),
      int(os.environ['UAD_HOST']),
    )
  elif os.environ.get('UAD_POD'):
    jax.distributed.initialize()


def usable_cores() -> int:
  """Returns the number of CPU cores that this process may use.

  A job scheduler may limit them.
  """
  if hasattr(os, 'sched_getaffinity'):  # Linux
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def split_cpu() -> None:
  """Splits the CPU into several JAX devices, so that all cores are used.

  Their number is a power of two, at most 8 and at most the number of usable cores. To
  be called before the first array is created. XLA runs a small convolution on one
  thread; a batch that is split over several devices uses all cores. With more devices
  than usable cores, XLA, which has one thread per core, deadlocks. The environment
  variable `UAD_CPU_DEVICES` sets the number of devices; it has no effect on
  accelerators.
  """
  cores = usable_cores()
  devices = int(
    os.environ.get('UAD_CPU_DEVICES', 2 ** (min(cores, 8).bit_length() - 1))
  )
  if 'xla_force_host_platform_device_count' not in os.environ.get('XLA_FLAGS', ''):
    jax.config.update('jax_num_cpu_devices', devices)


def settle(tree: Any) -> None:
  """Waits for arrays that several CPU devices compute; on accelerators it returns.

  To be called after each step that averages over devices. XLA has one thread per core;
  programs that were started meanwhile can hold the threads for which an all-reduce
  waits, and XLA ends a process that waits for 40 seconds.
  """
  if jax.default_backend() == 'cpu' and jax.device_count() > 1:
    jax.block_until_ready(tree)


QUICK = {'xla_cpu_use_fusion_emitters': False}
"""XLA option for quick compilation on CPU: the older code emitters compile in half the
time, but gathers run a third slower and a training step in 2-D runs 3 % slower."""


@functools.cache
def compiler_options() -> dict[str, bool]:
  """Returns the XLA options that shorten compilation on the current device.

  On CPU this is the option in `QUICK`, if the installed XLA accepts it; elsewhere there
  are none.
  """
  if jax.default_backend() != 'cpu':
    return {}
  try:
    jax.jit(jnp.negative, compiler_options=QUICK).lower(0.0).compile()
  except jax.errors.JaxRuntimeError:
    return {}
  return QUICK


def jit(function: Callable, quick: bool = True, **options) -> Callable:
  """Wraps a function in `jax.jit`, with quick compilation on CPU unless switched off.

  Code that is compiled quickly runs a little slower.

  Args:
    function: Function to compile.
    quick: True compiles quickly, for programs that run for a few minutes; False
      compiles to the fastest code, for long trainings.
    **options: Further arguments of `jax.jit`.
  """
  return jax.jit(
    function, compiler_options=compiler_options() if quick else {}, **options
  )


def keep_memory() -> None:
  """Sets the C library (glibc on Linux) to keep freed memory for reuse.

  By default it returns the memory of large arrays to the system, and each training step
  has to request it again, page by page.
  """
  try:
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
  except (OSError, TypeError):  # Windows has no library without a name
    return
  if mallopt is not None:
    trim_threshold, mmap_max = -1, -4
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 2**31 - 1)


def mesh() -> Mesh:
  """Returns the mesh for training, which holds all devices of all hosts."""
  return jax.make_mesh((jax.device_count(),), ('data',), axis_types=(AxisType.Auto,))


def local_mesh() -> Mesh:
  """Returns the mesh for evaluation and prediction, which holds this host's devices.

  Each host evaluates its own scans, so its programs must not wait for other hosts.
  """
  return Mesh(np.array(jax.local_devices()), ('data',), axis_types=(AxisType.Auto,))


def leads() -> bool:
  """Returns whether this process is the first host, which alone writes and prints."""
  return jax.process_index() == 0


def gather(value: Any) -> list:
  """Gathers one value from each host into a list, in the order of the hosts.

  Every host has to call it; each waits for the others and gets the same list.

  Args:
    value: Any object that pickle can write; meant to be small, as results are.
  """
  if jax.process_count() == 1:
    return [value]
  content = np.frombuffer(pickle.dumps(value), np.uint8)
  sizes = multihost_utils.process_allgather(np.int32(content.size))
  padded = np.zeros(sizes.max(), np.uint8)
  padded[: content.size] = content
  rows = multihost_utils.process_allgather(padded)
  return [
    pickle.loads(row[:size].tobytes()) for row, size in zip(rows, sizes, strict=True)
  ]


def by_turns(items: Sequence) -> list:
  """Merges the lists of all hosts into one list, taking one item per host in turn.

  This restores a list that was dealt to the hosts: item i to host i mod n, of n hosts.
  Every host has to call it and gets the same list.

  Args:
    items: Items of this host.
  """
  # Each item is boxed: the filling of a host with fewer items is then an empty box.
  turns = itertools.zip_longest(*gather([(item,) for item in items]), fillvalue=())
  return [item for turn in turns for box in turn for item in box]


def wait() -> None:
  """Waits until every host has called this function."""
  gather(None)


def check_batch_size(batch_size: int, devices: Mesh) -> None:
  """Checks that the global batch divides evenly over the devices of a mesh.

  Raises:
    ValueError: It does not divide evenly.
  """
  if batch_size % devices.size:
    raise ValueError(
      f'batch_size {batch_size} does not divide over {devices.size} devices; '
      f'choose a multiple of {devices.size} (UAD_CPU_DEVICES=1 uses one on a CPU)'
    )


def replicate(tree, devices: Mesh):
  """Copies every array of a tree, such as a training state, to every device of a mesh.

  In a distributed job every host has to hold the same tree.
  """
  sharding = NamedSharding(devices, PartitionSpec())

  def place(array):
    return jax.make_array_from_callback(
      array.shape, sharding, lambda index: array[index]
    )

  if jax.process_count() == 1:
    return jax.device_put(tree, sharding)
  return jax.tree.map(lambda leaf: place(np.asarray(leaf)), tree)


def shard(batch: Mapping[str, np.ndarray], devices: Mesh) -> dict[str, jax.Array]:
  """Distributes a batch over the devices of a mesh, split along the batch axis.

  Args:
    batch: Arrays of this host, [B / hosts, ...]: its part of the global batch.
    devices: Mesh from `mesh`, or from `local_mesh` for a batch of this host alone.

  Returns:
    Arrays [B, ...] of the global batch, of which each device holds an equal part.
  """
  sharding = NamedSharding(devices, PartitionSpec('data'))
  return {
    name: jax.make_array_from_process_local_data(sharding, array)
    for name, array in batch.items()
  }
