"""Random changes of the training scans, on the device, for every objective alike."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.losses import per_example
from uad_jax.method import Adaptation, Batch, Key, Method, Objective

TRAINING = 'train'
SEED = 0x617567  # keeps the draws apart from those of the loss, which has the same key


def flip(key: Key, batch: Batch, axis: int) -> Batch:
  """Half of the examples mirrored along a spatial axis, 0 being left to right."""
  mirrored = jax.random.bernoulli(key, 0.5, (len(batch['image']),))

  def one(value):
    turned = jnp.flip(value, 1 + axis)
    return jnp.where(per_example(mirrored, value), turned, value)

  return {**batch, 'image': one(batch['image']), 'mask': one(batch['mask'])}


def contrast(key: Key, batch: Batch, gamma: float, gain: float) -> Batch:
  """Intensities to a power and times a factor: x -> exp(b) x^exp(a), by example.

  a is uniform in [-gamma, gamma], b in [-gain, gain]; what is not positive stays.
  """
  image = batch['image']
  drawn = jax.random.uniform(key, (2, len(image)), minval=-1.0, maxval=1.0)
  a, b = (per_example(value, image) for value in drawn)
  safe = jnp.maximum(image, 1e-6)
  changed = jnp.exp(gain * b) * safe ** jnp.exp(gamma * a)
  return {**batch, 'image': jnp.where(image > 0, changed, image)}


def make(
  flips: Sequence[int] = (0,), gamma: float = 0.0, gain: float = 0.0
) -> Adaptation:
  """Wraps the objectives whose batches come from the training split.

  Fits (objectives that train nothing) are to see the scans' own intensities and are
  only mirrored.

  Args:
    flips: Spatial axes along which a scan is mirrored half of the time; 0 is left to
      right.
    gamma: Of `contrast`; 0 with `gain` 0 leaves the intensities.
    gain: Of `contrast`.
  """

  def adapt(method: Method) -> Method:
    def augmented(objective: Objective) -> Objective:
      if objective.split != TRAINING:
        return objective

      def loss(params, stats, batch, key, step):
        own = jax.random.fold_in(key, SEED)
        for axis in flips:
          batch = flip(jax.random.fold_in(own, axis), batch, axis)
        if objective.trains and (gamma or gain):
          other = jax.random.fold_in(own, batch['image'].ndim)  # no axis' number
          batch = contrast(other, batch, gamma, gain)
        return objective.loss(params, stats, batch, key, step)

      return objective._replace(loss=loss)

    objectives = {name: augmented(o) for name, o in method.objectives.items()}
    return method._replace(objectives=objectives)

  return adapt
