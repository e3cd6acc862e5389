"""Estimators of predictive uncertainty: functions that build an `Estimator`, by name.

draws        repeated inferences with other random keys: Monte Carlo dropout (Gal and
             Ghahramani 2016), diffusion; of='sampled' for the posterior of a VAE
members      several outputs of one inference: a deep ensemble (`adapt.ensemble`),
             heads of a decoder, draws of the parameters (`adapt.swag`,
             `adapt.laplace`)
augmented    inferences of the scan with random contrast and noise
transformed  inferences of the moved scan, moved back
predicted    variance that the method predicts (Nix and Weigend 1994)
"""

import inspect
from collections.abc import Callable

import jax
import jax.numpy as jnp

from uad_jax.augmentation import image_transforms
from uad_jax.method import Array, Batch, Infer, Key, need
from uad_jax.ops.choices import check_choice, choose
from uad_jax.ops.limits import check_number, check_whole
from uad_jax.uncertainty import rigid_motion
from uad_jax.uncertainty.estimator import Estimator, of_draws, of_stacked


def draws(of: str = 'reconstruction', samples: int = 16) -> Estimator:
  """Builds an estimator that repeats the inference with different random keys.

  For methods whose output depends on the key: dropout at inference, diffusion, and
  variational auto-encoders with of='sampled'. Otherwise the variance is 0.

  Args:
    of: Name of the output.
    samples: Number of inferences, at least 2.
  """
  return repeated('uncertainty', of, samples)


def repeated(where: str, of: str, samples: int) -> Estimator:
  """Builds the estimator `draws` for the scorer named `where` in error messages."""
  check_whole('samples', samples, 2)

  def draw(infer: Infer, batch: Batch, key: Key) -> Array:
    return need(infer({**batch}, key), where, of)[0]

  return of_draws(of, draw, samples)


def members(of: str = 'reconstruction') -> Estimator:
  """Builds an estimator over the members that one inference of a method returns.

  Args:
    of: Name of the output; the members are in the output OF_members [B, N, *S, C].
  """

  def samples(infer: Infer, batch: Batch, key: Key) -> Array:
    (several,) = need(infer(batch, key), 'uncertainty', f'{of}_members')
    return jnp.moveaxis(several, 1, 0)

  return of_stacked(of, samples)


def augmented(
  of: str = 'reconstruction',
  samples: int = 8,
  gamma: float = 0.1,
  gain: float = 0.05,
  noise: float = 0.02,
) -> Estimator:
  """Builds an estimator that infers the scan with random contrast and noise.

  Test-time augmentation (Wang et al. 2019, "Aleatoric uncertainty estimation with
  test-time augmentation"). Intensities x > 0 become exp(b) x^exp(a), and noise is
  added; the change of contrast is undone in outputs that are images.

  Args:
    of: Name of the output: an image or 'displacement'.
    samples: Number of inferences, at least 2.
    gamma: a is uniform in [-gamma, gamma].
    gain: b is uniform in [-gain, gain].
    noise: Standard deviation of the noise, in image units.
  """
  check_whole('samples', samples, 2)
  for option, value in {'gamma': gamma, 'gain': gain, 'noise': noise}.items():
    check_number(option, value, 0)

  def draw(infer: Infer, batch: Batch, key: Key) -> Array:
    key_contrast, key_noise, key_infer = jax.random.split(key, 3)
    image, mask = batch['image'], batch['mask']
    uniform = jax.random.uniform(key_contrast, (2, len(image)), minval=-1, maxval=1)
    a, b = gamma * uniform[0], gain * uniform[1]
    seen = image_transforms.curved(image, a, b)
    seen = seen + noise * jax.random.normal(key_noise, image.shape) * mask
    (value,) = need(infer({**batch, 'image': seen}, key_infer), 'uncertainty', of)
    if of == 'displacement':
      return value
    return image_transforms.curved(value, -a, -b * jnp.exp(-a))

  return of_draws(of, draw, samples)


def transformed(
  of: str = 'reconstruction',
  samples: int = 8,
  shift: int = 2,
  rotate: float = 0.0,
  mirror: bool = False,
  template: str = 'moving',
) -> Estimator:
  """Builds an estimator that moves the scan, infers, and moves the output back.

  An equivariant method gives the same output each time; the spread measures how far it
  is from that. Shifts are whole voxels, so that without a rotation nothing is
  interpolated. The formulas are in `rigid_motion`.

  Args:
    of: Name of the output: an image or 'displacement'.
    samples: Number of inferences, at least 2.
    shift: Shifts along each axis are whole numbers in [-shift, shift], in voxels.
    rotate: Angles are uniform in [-rotate, rotate] degrees; linear interpolation then
      adds variance at edges.
    mirror: Mirror half of the inferences along the first axis.
    template: For 'displacement': 'moving' if the warped image is predicted from the
      scan and moves with it, 'fixed' if it is a template.

  Raises:
    ValueError: A number is out of range, or the template does not fit the output.
  """
  check_whole('samples', samples, 2)
  check_whole('shift', shift, 0)
  check_number('rotate', rotate, 0)
  check_choice('template', template, rigid_motion.TEMPLATES, 'uncertainty')
  if template != 'moving' and of != 'displacement':
    raise ValueError(f"template '{template}' is for the output 'displacement'")

  def draw(infer: Infer, batch: Batch, key: Key) -> Array:
    key_move, key_infer = jax.random.split(key)
    size, d = len(batch['image']), batch['image'].ndim - 2
    motion = rigid_motion.draw(key_move, size, d, shift, rotate, mirror)
    seen = image_transforms.moved(batch, *motion)
    (value,) = need(infer(seen, key_infer), 'uncertainty', of)
    if of == 'displacement':
      return rigid_motion.field_moved_back(value, motion, template)
    return rigid_motion.moved_back(value, motion)

  return of_draws(of, draw, samples)


def predicted(of: str = 'reconstruction') -> Estimator:
  """Builds an estimator of the variance that a method predicts for each voxel.

  Args:
    of: Name of the output; its log-variance is the output OF_log_variance.
  """

  def moments(infer: Infer, batch: Batch, key: Key) -> tuple[Array, Array]:
    outputs = infer(batch, key)
    mean, log_variance = need(outputs, 'uncertainty', of, f'{of}_log_variance')
    return mean, _diagonal(jnp.exp(log_variance))

  return Estimator(of, moments)


def with_predicted(estimator: Estimator) -> Estimator:
  """Adds the variance that the method predicts to that of an estimator.

  Law of total variance: V = Var[mean] + E[variance] (Kendall and Gal 2017, equation 9).
  Departing from it, the predicted variance is that of one inference of the scan.
  """
  aleatoric = predicted(estimator.of)

  def moments(infer: Infer, batch: Batch, key: Key) -> tuple[Array, Array]:
    mean, covariance = estimator.moments(infer, batch, key)
    return mean, covariance + aleatoric.moments(infer, batch, key)[1]

  return Estimator(estimator.of, moments)


def _diagonal(variance: Array) -> Array:
  """Diagonal matrices [..., C, C] of variances [..., C]."""
  eye = jnp.eye(variance.shape[-1])
  return variance[..., None] * eye.reshape((1,) * (variance.ndim - 1) + eye.shape)


ESTIMATORS: dict[str, Callable[..., Estimator]] = {
  'draws': draws,
  'members': members,
  'augmented': augmented,
  'transformed': transformed,
  'predicted': predicted,
}
"""Functions that build the estimators, by name."""


def make(estimator: str, **options) -> Estimator:
  """Builds an estimator by its name.

  Args:
    estimator: Key of `ESTIMATORS`.
    **options: Arguments of the function of that name.

  Raises:
    ValueError: The name or an option is unknown, or a value is not allowed.
  """
  build = choose('estimator', estimator, ESTIMATORS, 'uncertainty')
  for option in options:
    check_choice('option', option, inspect.signature(build).parameters, estimator)
  return build(**options)
