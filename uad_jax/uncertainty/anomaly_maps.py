"""Anomaly maps that compare a scan with an estimate of its predictive distribution.

The scan is x, an estimator gives mean and covariance of the expected image at each
voxel, or samples of it (`uncertainty.estimator`).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from uad_jax.method import Array, Batch, Infer, Key, Scorer
from uad_jax.ops.choices import choose
from uad_jax.ops.limits import check_number
from uad_jax.ops.residual_sign import one_sided, signed
from uad_jax.uncertainty.estimator import Estimator, deviation


def residual_to_mean(
  image: Array, mean: Array, covariance: Array, floor: float, side: Callable
) -> Array:
  """Computes the residual between an image and the mean of the sampled outputs.

  It is averaged over the channels, so that its shape is [B, *S, 1].

  Args:
    image: [B, *S, C].
    mean: Mean of the samples [B, *S, C].
    covariance: Not used.
    floor: Not used.
    side: Function of `ops.residual_sign.SIGNS` that is applied to image - mean.
  """
  return side(image - mean).mean(-1, keepdims=True)


def sample_variance(
  image: Array, mean: Array, covariance: Array, floor: float, side: Callable
) -> Array:
  """Computes the variance of the sampled outputs at each voxel.

  It is averaged over the channels, so that its shape is [B, *S, 1].

  Args:
    image: Not used.
    mean: Not used.
    covariance: Covariance of the channels [B, *S, C, C].
    floor: Not used.
    side: Not used.
  """
  return deviation(covariance) ** 2


def sample_deviation(
  image: Array, mean: Array, covariance: Array, floor: float, side: Callable
) -> Array:
  """Computes the standard deviation of the sampled outputs at each voxel.

  It is the root of `sample_variance`, which describes the arguments.
  """
  return deviation(covariance)


def mahalanobis_by_voxel(
  image: Array, mean: Array, covariance: Array, floor: float, side: Callable
) -> Array:
  """Computes at each voxel the Mahalanobis distance of the image from the samples.

  It is sqrt(r' (S + floor^2 I)^-1 r), with r = image - mean and S the covariance of the
  channels; its shape is [B, *S, 1].

  Args:
    image: [B, *S, C].
    mean: Mean of the samples [B, *S, C].
    covariance: S [B, *S, C, C].
    floor: Standard deviation added to that of the samples, in image units.
    side: Not used.
  """
  residual = image - mean
  if residual.shape[-1] == 1:
    return jnp.abs(residual) / jnp.sqrt(covariance[..., 0] + floor**2)
  floors = floor**2 * jnp.broadcast_to(jnp.eye(residual.shape[-1]), covariance.shape)
  solved = jnp.linalg.solve(covariance + floors, residual[..., None])[..., 0]
  return jnp.sqrt((residual * solved).sum(-1, keepdims=True))


def mahalanobis_full(image: Array, drawn: Array, floor: float, side: Callable) -> Array:
  """Computes each voxel's share of the Mahalanobis distance of image and samples.

  It is sqrt(max(0, r_i (P r)_i)), [B, *S, 1], with r = image - mean, P = (S + floor^2
  I)^-1 and S the covariance of all voxels and channels of an image over the N samples.
  S has a rank below N, so that only an N x N system is solved (Woodbury identity).

  Args:
    image: [B, *S, C].
    drawn: Samples [N, B, *S, C].
    floor: Standard deviation added to that of the samples, in image units.
    side: Not used.
  """
  mean = drawn.mean(0)
  deviations = jnp.moveaxis(drawn - mean[None], 0, 1)
  deviations = deviations.reshape(len(image), len(drawn), -1)
  residual = (image - mean).reshape(len(image), -1)
  inner = jnp.einsum('bip,bjp->bij', deviations, deviations)
  inner += floor**2 * (len(drawn) - 1) * jnp.eye(len(drawn))[None]
  projected = jnp.einsum('bip,bp->bi', deviations, residual)[..., None]
  weights = jnp.linalg.solve(inner, projected)[..., 0]
  solved = residual - jnp.einsum('bip,bi->bp', deviations, weights)
  solved = solved / floor**2
  squares = (residual * solved).reshape(image.shape).sum(-1, keepdims=True)
  return jnp.sqrt(jnp.maximum(squares, 0.0))


class Kind(NamedTuple):
  """Kind of anomaly map that an uncertainty estimator leads to.

  Attributes:
    value: Function (image, *arrays of the estimator, floor, side) -> anomaly map [B,
      *S, 1].
    signed: Whether `value` applies `side`, the function for the sign of the residual.
      If not, the scorer sets the map to 0 where the residual has the other sign.
    floored: Whether `value` uses `floor`, the added standard deviation.
    stacked: Whether `value` takes the samples, not their mean and covariance.
    compares: Whether `value` compares the image with the output.
  """

  value: Callable
  signed: bool = False
  floored: bool = False
  stacked: bool = False
  compares: bool = True


FLOOR = 0.02
"""Default of the option `floor`, in image units."""

KINDS = {
  'mean': Kind(residual_to_mean, signed=True),
  'variance': Kind(sample_variance, compares=False),
  'deviation': Kind(sample_deviation, compares=False),
  'mahalanobis': Kind(mahalanobis_by_voxel, floored=True),
  'mahalanobis_full': Kind(mahalanobis_full, floored=True, stacked=True),
}
"""Kinds of anomaly maps by name; `scores.uncertainty` has their formulas."""


class Deviation(NamedTuple):
  """Scorer whose map is a predictive standard deviation, to be compared with errors.

  Attributes:
    of: Name of the output that it is the deviation of.
    scorer: The scorer.
  """

  of: str
  scorer: Scorer

  def __call__(self, infer: Infer, batch: Batch, key: Key) -> Array:
    """Computes the standard deviations, [B, *S, 1]."""
    return self.scorer(infer, batch, key)


def scorer(
  where: str,
  estimator: Estimator,
  kind: str,
  floor: float | None,
  sign: str,
) -> Scorer:
  """Builds a scorer of anomaly maps from an uncertainty estimator.

  Args:
    where: Name of the scorer, for error messages.
    estimator: The estimator.
    kind: Key of `KINDS`.
    floor: Standard deviation added to the estimated one, in image units, for kinds that
      use it; None for `FLOOR`.
    sign: 'absolute', 'bright' or 'dark'.

  Returns:
    A scorer of anomaly maps [B, *S, 1], 0 outside the brain mask.

  Raises:
    ValueError: `kind` or `sign` is unknown, `floor` is set for a kind that does not use
      it, or the estimator does not serve the kind.
  """
  chosen = choose('kind', kind, KINDS, where)
  side = signed(sign, where)
  if floor is not None and not chosen.floored:
    raise ValueError(f"{where}: kind '{kind}' has no floor, {floor} was given")
  if chosen.stacked and estimator.samples is None:
    raise ValueError(
      f"{where}: kind '{kind}' needs samples, and a variance is predicted"
    )
  of_image = estimator.of != 'displacement'
  if chosen.compares and not of_image:
    free = ', '.join(name for name in KINDS if not KINDS[name].compares)
    raise ValueError(
      f"{where}: kind '{kind}' compares images; for 'displacement' there are {free}"
    )
  floor = FLOOR if floor is None else floor
  check_number(f'{where}: floor', floor, 0)
  gather = estimator.samples if chosen.stacked else estimator.moments

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    image = batch['image']
    statistics = gather(infer, batch, key)
    if not isinstance(statistics, tuple):
      statistics = (statistics,)
    value = chosen.value(image, *statistics, floor, side) * batch['mask']
    if chosen.signed or not of_image:
      return value
    mean = statistics[0].mean(0) if chosen.stacked else statistics[0]
    return one_sided(value, image - mean, sign)

  return score
