"""Synthetic anomalies whose shape, texture and intensity are drawn independently.

After the "disentangled anomaly generation" of Naval Marimont, Siomos, Baugh, Tzelepis,
Kainz, Tarroni, "Ensembled cold-diffusion restorations for unsupervised anomaly
detection", MICCAI 2024. An anomaly has a shape, a foreign texture within it and an
intensity bias within it; none of the three says anything about the others. Its degree
grows from 0 (absent) to 1 (complete), by a schedule of each component.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax.augmentation.lesion_shapes import blobs
from uad_jax.augmentation.painters import TRAINING
from uad_jax.augmentation.synthetic_lesions import paint_shape
from uad_jax.ops.choices import check_choice
from uad_jax.ops.limits import check_number, check_whole
from uad_jax.ops.losses import per_example

Array = jax.Array
Key = jax.Array

LIGHTEST = 1e-6
"""Weight of a shape below which an anomaly does not count, against divisions by 0."""


class Anomaly(NamedTuple):
  """Complete synthetic anomalies of a batch, by component.

  Attributes:
    shape: Soft shapes m [B, *S, 1] in [0, 1], 0 outside of the brain.
    texture: Change of the image by the texture [B, *S, C], 0 where m is 0.
    intensity: Change of the image by the intensity bias [B, *S, C], 0 where m is 0.
  """

  shape: Array
  texture: Array
  intensity: Array


class Degrees(NamedTuple):
  """Degrees of the components of each anomaly of a batch, in [0, 1].

  Attributes:
    shape, texture, intensity: [B].
  """

  shape: Array
  texture: Array
  intensity: Array


def check_options(
  where: str,
  textures: Sequence[str],
  intensities: Sequence[str],
  share: float,
  spread: float,
) -> None:
  """Checks the options of `draw` and `degrees`, when a method is made.

  Args:
    where: Name of the method, for the error message.
    textures: See `draw`.
    intensities: See `draw`.
    share: See `draw`.
    spread: See `degrees`.

  Raises:
    ValueError: An option is out of its range, or a painter is none of `TRAINING`.
  """
  for what, painters in (('textures', textures), ('intensities', intensities)):
    check_whole(f'{where}: number of {what}', len(painters), 1)
    for name in painters:
      check_choice('painter', name, TRAINING, f'{where}: {what}')
  check_number(f'{where}: share', share, 0, 1)
  check_number(f'{where}: spread', spread, 1)


def draw(
  key: Key,
  image: Array,
  mask: Array,
  textures: Sequence[str] = ('patch', 'texture'),
  intensities: Sequence[str] = ('shift',),
  share: float = 1.0,
  polarity: str = 'both',
) -> Anomaly:
  """Draws shape, texture and intensity of an anomaly for each image, independently.

  Args:
    key: Random key.
    image: Healthy images [B, *S, C], 0 outside of the brain.
    mask: Brain masks [B, *S, 1].
    textures: Painters of the texture, names from `painters.TRAINING`, one by example.
    intensities: Painters of the intensity bias, likewise.
    share: Probability that an anomaly has a texture, and that it has a bias; the two
      are independent, so that (1 - share)^2 of the images stay healthy.
    polarity: Allowed changes of intensity, see `synthetic_lesions.one_sided`; it holds
      for each of the two components.
  """
  key_shape, key_texture, key_intensity, key_share = jax.random.split(key, 4)
  shape = blobs(key_shape, mask[..., 0])
  exists = jax.random.uniform(key_share, (2, len(image))) < share

  def change(key, painters, exists):
    painted = paint_shape(key, image, mask, shape, painters, polarity)
    return per_example(exists, image) * (painted - image) * mask

  return Anomaly(
    shape[..., None],
    change(key_texture, textures, exists[0]),
    change(key_intensity, intensities, exists[1]),
  )


def degrees(key: Key, time: Array, spread: float) -> Degrees:
  """Draws a schedule for each component and returns the degrees at a time.

  The degree of a component is t^p, with exponents p of shape, texture and intensity
  that are drawn independently, log-uniform in [1 / spread, spread]. It is 0 at t = 0
  and 1 at t = 1, whatever p.

  Args:
    key: Random key.
    time: t [B] in [0, 1].
    spread: Largest exponent, 1 or more; at 1 each degree is t.
  """
  limit = jnp.log(spread)
  drawn = jax.random.uniform(key, (3, len(time)), minval=-limit, maxval=limit)
  return Degrees(*time[None] ** jnp.exp(drawn))


def corrupt(image: Array, anomaly: Anomaly, at: Degrees) -> Array:
  """Blends anomalies into healthy images to a degree of each component.

  x_t = x + (m_t / m) (a texture + b intensity), with the degrees a and b, and the shape
  m_t = max(m - (1 - c), 0) / c of degree c, which grows from the core of m to m. Values
  below 0 become 0 where the healthy image is not below 0, as for every painter.

  Args:
    image: Healthy images x [B, *S, C].
    anomaly: Complete anomalies of these images.
    at: Degrees of the components.

  Returns:
    [B, *S, C]; x where all degrees are 0, and the sum of x and both changes at 1.
  """
  a, b, c = (
    per_example(degree, image) for degree in (at.texture, at.intensity, at.shape)
  )
  grown = jnp.maximum(anomaly.shape - (1 - c), 0.0) / jnp.maximum(c, LIGHTEST)
  part = jnp.minimum(grown / jnp.maximum(anomaly.shape, LIGHTEST), 1.0)
  changed = image + part * (a * anomaly.texture + b * anomaly.intensity)
  return jnp.maximum(changed, jnp.minimum(image, 0.0))
