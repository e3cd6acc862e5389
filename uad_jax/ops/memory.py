"""Memory of the device."""

import os

import jax


def device_bytes() -> int:
  """Returns the memory of a device, in bytes; on CPU that of the machine.

  >>> device_bytes() > 2**20
  True
  """
  stats = jax.local_devices()[0].memory_stats() or {}
  machine = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  return stats.get('bytes_limit', machine)
