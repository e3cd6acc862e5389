"""Adaptation that applies random image transforms to a method's training batches."""

from collections.abc import Sequence

import jax

from uad_jax.augmentation import image_transforms
from uad_jax.method import TARGET, Adaptation, Method, Objective, splits_of

TRAINING = ('train', TARGET)
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
  """Builds an adaptation that applies random image transforms to training batches.

  Every objective on the training split, or on target scans ('few_shot'), gets randomly
  mirrored scans. The other
  transforms are only for objectives that train networks: fits (objectives that train
  nothing) need the intensities of the scans, which interpolation changes too.
  Transforms of strength 0 are left out. All are drawn anew for each example.

  Args:
    flips: Spatial axes along which a scan is mirrored with probability 1/2; 0 is left
      to right.
    gamma: Intensities are raised to exp(a), a in [-gamma, gamma]; see
      `image_transforms.contrast`.
    gain: Intensities are multiplied by exp(b), b in [-gain, gain].
    rotate: Rotation angles are in [-rotate, rotate] degrees; see
      `image_transforms.affine`.
    scale: Each axis is scaled by exp(s), s in [-scale, scale].
    shift: Shifts along each axis are in [-shift, shift] voxels.
    shear: Shears are in [-shear, shear].
    bias: Log factors of a smooth bias field are in about [-bias, bias]; see
      `image_transforms.bias`.
    noise: Standard deviations of normal noise are in [0, noise], in image units.

  Returns:
    An adaptation, Method -> Method.

  Raises:
    ValueError: A range is negative.
  """
  spatial = dict(rotate=rotate, scale=scale, shift=shift, shear=shear)
  intensity = dict(gamma=gamma, gain=gain, bias=bias, noise=noise)
  for name, value in {**spatial, **intensity}.items():
    if value < 0:
      raise ValueError(f'augment: {name} is {value}; allowed are ranges from 0')

  def transform(key, batch):
    """Applies all transforms but flips; each folds a number of its own into the key."""
    rank = batch['image'].ndim  # above the numbers that flips use, their axes
    if any(spatial.values()):
      batch = image_transforms.affine(
        jax.random.fold_in(key, rank + 1), batch, **spatial
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
      splits = splits_of(objective)
      if not set(splits) <= set(TRAINING):
        return objective

      def transformed(augment_key, batch):
        for axis in flips:
          flip_key = jax.random.fold_in(augment_key, axis)
          batch = image_transforms.flip(flip_key, batch, axis)
        return transform(augment_key, batch) if objective.trains else batch

      def loss(params, stats, batch, key, step):
        augment_key = jax.random.fold_in(key, SEED)
        if len(splits) == 1:
          batch = transformed(augment_key, batch)
        else:
          keys = jax.random.split(augment_key, len(splits))
          pairs = zip(splits, keys, strict=True)
          batch = {split: transformed(one, batch[split]) for split, one in pairs}
        return objective.loss(params, stats, batch, key, step)

      return objective._replace(loss=loss)

    objectives = {name: augmented(o) for name, o in method.objectives.items()}
    return method._replace(objectives=objectives)

  return adapt
