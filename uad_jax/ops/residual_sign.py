"""Functions that turn a residual into anomaly scores: absolute, bright or dark."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from uad_jax.ops.choices import choose

SIGNS = {'absolute': jnp.abs, 'bright': jnp.asarray, 'dark': jnp.negative}
"""Functions of the residual, image minus expected image, that are high at anomalies:
its absolute value, the residual itself (brighter) or its negative (darker)."""


def signed(sign: str, scorer: str) -> Callable[[jax.Array], jax.Array]:
  """Returns the function for `sign` that turns a residual into anomaly scores.

  The residual is the image minus the expected image.

  Args:
    sign: 'absolute', 'bright' (brighter than expected is anomalous) or 'dark'.
    scorer: Name of the scorer, for the error message.

  Returns:
    The function from the residual to the anomaly map, of any shape.

  Raises:
    ValueError: The sign is not in `SIGNS`.

  Examples:
    >>> signed('dark', 'residual')(jnp.array([-0.5, 2.0])).tolist()
    [0.5, -2.0]
  """
  return choose('sign', sign, SIGNS, scorer)
