"""Devices and hosts: one mesh with the axis 'data', parameters copied, batches split.

The same code serves one CPU and a pod: `jax.jit` sees the global batch, so no mean over
devices is ever written.
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
  """Joins the other hosts when the launcher says that there are some.

  `UAD_COORDINATOR` (host:port), `UAD_HOSTS` and `UAD_HOST` describe the job, as
  launch/multihost_local.sh and launch/slurm.sh set them; `UAD_POD` asks a TPU pod.
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


def own_cores() -> int:
  """The cores that this process may use, which a scheduler may have made fewer."""
  if hasattr(os, 'sched_getaffinity'):  # Linux
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def split_cpu() -> None:
  """Makes each core a device, at most 8; to be called before any array is made.

  XLA runs a small convolution on one thread; split over the mesh, a batch uses all
  cores. More devices than cores of one's own would wait for each other for ever, as XLA
  has a thread for each core. `UAD_CPU_DEVICES` sets the number, without effect on
  accelerators.
  """
  cores = own_cores()
  devices = int(
    os.environ.get('UAD_CPU_DEVICES', 2 ** (min(cores, 8).bit_length() - 1))
  )
  if 'xla_force_host_platform_device_count' not in os.environ.get('XLA_FLAGS', ''):
    jax.config.update('jax_num_cpu_devices', devices)


QUICK = {'xla_cpu_use_fusion_emitters': False}
"""XLA's older emitters compile in half the time; their gathers are a third slower, a
training step in 2-D by 3 %."""


@functools.cache
def compiler_options() -> dict[str, bool]:
  """`QUICK` on a CPU whose XLA still knows it."""
  if jax.default_backend() != 'cpu':
    return {}
  try:
    jax.jit(jnp.negative, compiler_options=QUICK).lower(0.0).compile()
  except jax.errors.JaxRuntimeError:
    return {}
  return QUICK


def jit(function: Callable, quick: bool = True, **options) -> Callable:
  """`jax.jit` for the large programs, `quick` for those that run for minutes only."""
  return jax.jit(
    function, compiler_options=compiler_options() if quick else {}, **options
  )


def keep_memory() -> None:
  """Tells glibc to keep freed memory: else each step pages its large arrays in anew."""
  try:
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
  except (OSError, TypeError):  # Windows has no library without a name
    return
  if mallopt is not None:
    trim_threshold, mmap_max = -1, -4
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 2**31 - 1)


def mesh() -> Mesh:
  """All devices of all hosts along 'data'."""
  return jax.make_mesh((jax.device_count(),), ('data',), axis_types=(AxisType.Auto,))


def local_mesh() -> Mesh:
  """The devices of this host, for what each host does by itself."""
  return Mesh(np.array(jax.local_devices()), ('data',), axis_types=(AxisType.Auto,))


def leads() -> bool:
  """Whether this host is the one that writes and prints."""
  return jax.process_index() == 0


def gather(value: Any) -> list:
  """What each host gives, in the order of the hosts; every host calls it and waits.

  Any object that pickles; meant for small results of long work.
  """
  if jax.process_count() == 1:
    return [value]
  content = np.frombuffer(pickle.dumps(value), np.uint8)
  sizes = multihost_utils.process_allgather(np.int32(content.size))
  sent = np.zeros(sizes.max(), np.uint8)
  sent[: content.size] = content
  rows = multihost_utils.process_allgather(sent)
  return [
    pickle.loads(row[:size].tobytes()) for row, size in zip(rows, sizes, strict=True)
  ]


def by_turns(items: Sequence) -> list:
  """The items of all hosts, dealt out by turns, in their first order."""
  turns = itertools.zip_longest(*gather([(item,) for item in items]), fillvalue=())
  return [item for turn in turns for one in turn for item in one]


def wait() -> None:
  """Returns when every host has come here."""
  gather(None)


def check_batch_size(batch_size: int, devices: Mesh) -> None:
  """Raises unless the global batch divides evenly over the devices."""
  if batch_size % devices.size:
    raise ValueError(
      f'batch_size {batch_size} does not divide over {devices.size} devices; '
      f'choose a multiple of {devices.size} (UAD_CPU_DEVICES=1 uses one on a CPU)'
    )


def replicate(tree, devices: Mesh):
  """Copies every array of the tree to every device."""
  sharding = NamedSharding(devices, PartitionSpec())

  def place(x):
    return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])

  if jax.process_count() == 1:
    return jax.device_put(tree, sharding)
  return jax.tree.map(lambda x: place(np.asarray(x)), tree)


def shard(batch: Mapping[str, np.ndarray], devices: Mesh) -> dict[str, jax.Array]:
  """This host's part of a batch, placed as its part of the global batch."""
  sharding = NamedSharding(devices, PartitionSpec('data'))
  return {
    name: jax.make_array_from_process_local_data(sharding, array)
    for name, array in batch.items()
  }
