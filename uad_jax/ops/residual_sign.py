"""Functions that turn the difference of image and expected image into anomaly scores.

Anomalous is any difference, only a brighter image, or only a darker image.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from uad_jax.ops.choices import choose

SIGNS = {'absolute': jnp.abs, 'bright': jnp.asarray, 'dark': jnp.negative}
"""Functions of the residual, image minus expected image, that are high at anomalies:
its absolute value, the residual itself (brighter) or its negative (darker)."""

POLARITIES = {'both': 'absolute', 'bright': 'bright', 'dark': 'dark'}
"""Polarity of lesions (whether they are brighter than healthy tissue, darker, or may be
both) to the sign of the residual at them, a key of `SIGNS`."""


def signed(sign: str, scorer: str) -> Callable[[jax.Array], jax.Array]:
  """Returns a function that turns an image difference into anomaly scores.

  The difference (residual) is the image minus the expected image. `sign` chooses
  whether brighter voxels, darker voxels or both get high scores.

  Args:
    sign: 'absolute' (both), 'bright' (brighter than expected is anomalous) or 'dark'.
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


def one_sided(value: jax.Array, residual: jax.Array, sign: str) -> jax.Array:
  """Sets anomaly scores to 0 at voxels whose residual has the wrong sign.

  This restricts unsigned scores to voxels brighter, or darker, than expected.

  Args:
    value: Anomaly map [B, *S, 1], 0 or above, such as a dissimilarity.
    residual: Image minus expected image [B, *S, C]; averaged over channels.
    sign: Key of `SIGNS`; 'absolute' returns the map unchanged.

  Returns:
    [B, *S, 1].

  Examples:
    >>> value, residual = jnp.ones((1, 2, 1)), jnp.array([[[-0.5], [0.5]]])
    >>> one_sided(value, residual, 'bright').ravel().tolist()
    [0.0, 1.0]
  """
  if sign == 'absolute':
    return value
  side = choose('sign', sign, SIGNS)(residual).mean(-1, keepdims=True)
  return jnp.where(side > 0, value, 0.0)
