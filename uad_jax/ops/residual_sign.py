"""Which way an image may differ from what is expected of it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

SIGNS = {'absolute': jnp.abs, 'bright': jnp.asarray, 'dark': jnp.negative}
"""Of the image minus what is expected: its size, itself, or its negative."""


def signed(sign: str, scorer: str) -> Callable[[jax.Array], jax.Array]:
  """The entry of `SIGNS`, or one sentence with what there is."""
  if sign not in SIGNS:
    raise ValueError(f"{scorer}: unknown sign '{sign}'; there are {', '.join(SIGNS)}")
  return SIGNS[sign]
