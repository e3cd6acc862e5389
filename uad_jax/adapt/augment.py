"""Random changes of the training scans, on the device, for every objective alike."""

from collections.abc import Sequence

import jax

from uad_jax.augmentation import image_transforms
from uad_jax.method import Adaptation, Method, Objective

TRAINING = 'train'
SEED = 0x617567  # keeps the draws apart from those of the loss, which has the same key


def make(
  flips: Sequence[int] = (0,),
  gamma: float = 0.0,
  gain: float = 0.0,
  rotate: float = 0.0,
  scale: float = 0.0,
  shift: float = 0.0,
  shear: float = 0.0,
  bias: float = 0.0,
  noise: float = 0.0,
) -> Adaptation:
  """Wraps the objectives whose batches come from the training split.

  Fits (objectives that train nothing) are to see the scans' own intensities, which
  interpolation changes too, and are only mirrored. What is 0 is left out.

  Args:
    flips: Spatial axes along which a scan is mirrored half of the time; 0 is left to
      right.
    gamma: Log exponents of intensity are in [-gamma, gamma]; see `contrast`.
    gain: Log factors of intensity are in [-gain, gain].
    rotate: Angles are in [-rotate, rotate] degrees; see `affine`.
    scale: Log scales of each axis are in [-scale, scale].
    shift: Shifts along each axis are in [-shift, shift] voxels.
    shear: Shears are in [-shear, shear].
    bias: Log factors of a smooth field are in about [-bias, bias]; see `bias`.
    noise: Deviations of normal noise are in [0, noise].
  """
  places = dict(rotate=rotate, scale=scale, shift=shift, shear=shear)
  values = dict(gamma=gamma, gain=gain, bias=bias, noise=noise)
  for name, value in {**places, **values}.items():
    if value < 0:
      raise ValueError(f'augment: {name} is {value}; allowed are ranges from 0')

  def change(key, batch):
    """The batch of an objective that trains; each change has a number of its own."""
    rank = batch['image'].ndim  # no axis' number
    if any(places.values()):
      batch = image_transforms.affine(
        jax.random.fold_in(key, rank + 1), batch, **places
      )
    if gamma or gain:
      batch = image_transforms.contrast(
        jax.random.fold_in(key, rank), batch, gamma, gain
      )
    if bias:
      batch = image_transforms.bias(jax.random.fold_in(key, rank + 2), batch, bias)
    if noise:
      batch = image_transforms.noise(jax.random.fold_in(key, rank + 3), batch, noise)
    return batch

  def adapt(method: Method) -> Method:
    def augmented(objective: Objective) -> Objective:
      if objective.split != TRAINING:
        return objective

      def loss(params, stats, batch, key, step):
        own = jax.random.fold_in(key, SEED)
        for axis in flips:
          batch = image_transforms.flip(jax.random.fold_in(own, axis), batch, axis)
        if objective.trains:
          batch = change(own, batch)
        return objective.loss(params, stats, batch, key, step)

      return objective._replace(loss=loss)

    objectives = {name: augmented(o) for name, o in method.objectives.items()}
    return method._replace(objectives=objectives)

  return adapt
