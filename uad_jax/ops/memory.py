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


def check(numbers: int, subject: str) -> None:
  """Checks that the device's memory holds so many numbers of 32 bits.

  Args:
    numbers: Number of numbers.
    subject: Subject of the error message, in the plural.

  Raises:
    ValueError: It does not.

  Examples:
    >>> check(2**20, 'bank: its vectors')
  """
  needed, present = 4 * numbers, device_bytes()
  if needed > present:
    raise ValueError(
      f'{subject} need {needed / 2**30:.1f} GiB of memory, and there are '
      f'{present / 2**30:.1f}'
    )
