"""Adaptation that randomises contrast and resolution of a method's training batches."""

import jax

from uad_jax.augmentation import image_transforms, scanner_transforms
from uad_jax.method import Adaptation, Method, Objective
from uad_jax.ops.limits import check_number, check_whole

TRAINING = 'train'
SEED = 0x72616E  # keeps the draws apart from those of the loss and of `augment`


def make(
  curve: float = 0.5,
  bias: float = 0.2,
  fwhm: float = 2.0,
  thickness: int = 1,
  noise: float = 0.02,
  fits: bool = False,
) -> Adaptation:
  """Builds an adaptation that trains on scans of random contrast and resolution.

  Domain randomisation (Tobin et al. 2017; Billot et al. 2023 for brain MRI): a network
  that is trained on many contrasts and resolutions shall take an unseen scanner for one
  more of them. No scan of another scanner is needed. In this order, each drawn anew for
  every scan: a monotone intensity curve, a smooth bias field, a loss of resolution (a
  filter, thick slices), noise. The batch's image is changed as a whole, so that a
  denoising method is trained to restore the image of the drawn scanner.

  Departure from `augment`: that adaptation covers the differences between scans of one
  scanner (position, a power of the intensities); here the curve is of any monotone
  form, and the resolution varies. Geometry stays, and both can be combined. Billot et
  al. draw the intensities of each tissue from label maps, also against their order;
  here the order is kept, since an anomaly is often told by it.

  The curve acts within the brain mask only. The background is 0 in every scan: a curve
  over it would make its value a label of the curve, and it would take the range of the
  curve away from the tissues.

  A strength of 0 (1 for thickness) leaves a transform out. Calibrations, on another
  split, always see the scans themselves.

  Args:
    curve: Deviation of the log slopes of the intensity curve, see
      `scanner_transforms.random_curve`.
    bias: Log factors of the bias field are in about [-bias, bias], see
      `image_transforms.bias`.
    fwhm: Largest full width at half maximum of the filter, in voxels, see
      `scanner_transforms.random_blur`.
    thickness: Largest thickness of the slices, in voxels, 1 or more, see
      `scanner_transforms.random_slices`.
    noise: Largest standard deviation of the noise, in image units, see
      `image_transforms.noise`.
    fits: Randomise also for fits on the training split (objectives that train nothing),
      such as the voxel statistics; otherwise they see the intensities of the scans.

  Returns:
    An adaptation, Method -> Method.

  Raises:
    ValueError: A strength is negative, or the thickness is no whole number from 1.
  """
  strengths = {'curve': curve, 'bias': bias, 'fwhm': fwhm, 'noise': noise}
  for option, value in strengths.items():
    check_number(f'randomise: {option}', value, 0)
  check_whole('randomise: thickness', thickness, 1)
  transforms = (
    (scanner_transforms.random_curve, curve, curve > 0),
    (image_transforms.bias, bias, bias > 0),
    (scanner_transforms.random_blur, fwhm, fwhm > 0),
    (scanner_transforms.random_slices, thickness, thickness > 1),
    (image_transforms.noise, noise, noise > 0),
  )

  def transform(key, batch):
    keys = jax.random.split(jax.random.fold_in(key, SEED), len(transforms))
    for each, (change, strength, applies) in zip(keys, transforms, strict=True):
      if applies:
        batch = change(each, batch, strength)
    return batch

  def randomised(objective: Objective) -> Objective:
    if objective.split != TRAINING or not (objective.trains or fits):
      return objective

    def loss(params, stats, batch, key, step):
      return objective.loss(params, stats, transform(key, batch), key, step)

    return objective._replace(loss=loss)

  def adapt(method: Method) -> Method:
    objectives = {name: randomised(o) for name, o in method.objectives.items()}
    return method._replace(objectives=objectives)

  return adapt
