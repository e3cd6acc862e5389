"""Monte Carlo scorer: compares an image with outputs of repeated random inferences."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.ops.choices import choose
from uad_jax.ops.residual_sign import one_sided, signed


def draw(infer: Infer, batch: Batch, key: Key, of: str) -> Array:
  """Runs one random inference of a method and returns one of its outputs.

  `of` is the name of the output, whose shape is [B, *S, C].
  """
  return need(infer({**batch}, key), 'monte_carlo', of)[0]


def moments(
  infer: Infer, batch: Batch, key: Key, samples: int, of: str = 'reconstruction'
) -> tuple[Array, Array]:
  """Estimates mean and covariance of one output of a method over random inferences.

  One pass (Welford 1962), so that memory does not grow with the number of samples.

  Args:
    infer: Inference of a trained method.
    batch: Images and masks, as `method.Batch`.
    key: Split into one key for each sample.
    samples: Number of inferences, at least 2.
    of: Name of the sampled output.

  Returns:
    The mean [B, *S, C] and, at each voxel, the unbiased covariance of the channels
    [B, *S, C, C].
  """
  image = batch['image']
  empty = jnp.zeros(image.shape), jnp.zeros((*image.shape, image.shape[-1]))

  def add(carry, indexed_key):
    mean, scatter = carry
    index, key = indexed_key
    sample = draw(infer, batch, key, of)
    before = sample - mean
    mean = mean + before / (index + 1)
    return (mean, scatter + before[..., :, None] * (sample - mean)[..., None, :]), None

  indexed_keys = jnp.arange(samples, dtype=jnp.float32), jax.random.split(key, samples)
  (mean, scatter), _ = jax.lax.scan(add, empty, indexed_keys)
  return mean, scatter / (samples - 1)


def all_samples(
  infer: Infer, batch: Batch, key: Key, samples: int, of: str
) -> tuple[Array]:
  """Runs random inferences of a method and stacks the samples of one output.

  The result is a tuple of one array [N, B, *S, C], for N samples; `of` is the name of
  the output.
  """
  keys = jax.random.split(key, samples)
  return (jax.lax.map(lambda key: draw(infer, batch, key, of), keys),)


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
    image: [B, *S, C]; only its number of channels is used.
    mean: Not used.
    covariance: Covariance of the channels [B, *S, C, C].
    floor: Not used.
    side: Not used.
  """
  return jnp.trace(covariance, axis1=-2, axis2=-1)[..., None] / image.shape[-1]


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
  """Kind of Monte Carlo anomaly map: functions that sample outputs and make the map.

  Attributes:
    gather: Function (infer, batch, key, samples, of) -> tuple of arrays: mean and
      covariance of the samples, or the samples themselves.
    value: Function (image, *arrays of `gather`, floor, side) -> anomaly map [B, *S, 1].
    signed: Whether `value` applies `side`, the function for the sign of the residual.
      If not, the scorer sets the map to 0 where the residual has the other sign.
    floored: Whether `value` uses `floor`, the added standard deviation.
    stacked: Whether `gather` returns the samples, not their mean and covariance.
  """

  gather: Callable
  value: Callable
  signed: bool = False
  floored: bool = False
  stacked: bool = False


FLOOR = 0.02
"""Default of the option `floor`, in image units."""

KINDS = {
  'mean': Kind(moments, residual_to_mean, signed=True),
  'variance': Kind(moments, sample_variance),
  'mahalanobis': Kind(moments, mahalanobis_by_voxel, floored=True),
  'mahalanobis_full': Kind(all_samples, mahalanobis_full, floored=True, stacked=True),
}


def make(
  kind: str = 'mahalanobis',
  samples: int = 16,
  of: str = 'reconstruction',
  floor: float | None = None,
  sign: str = 'absolute',
) -> Scorer:
  """Builds a scorer that derives anomaly maps from repeated random inferences.

  The outputs (samples) differ by the random key. Kinds of scores, x being the image:

  - 'mean': |x - mean of the samples| (Baur et al. 2021, Monte Carlo samples).
  - 'variance': variance of the samples, high where the model is unsure.
  - 'mahalanobis_full': sqrt(r_i (P r)_i) at voxel i, r = x - mean, P = (S + floor^2
    I)^-1, S the covariance of all voxels of an image over the samples (Behrendt et al.
    2024, arXiv 2407.12474, with a floor of 0.1; negative values are set to 0 here).
  - 'mahalanobis': its diagonal variant, at each voxel sqrt(r' (S + floor^2 I)^-1 r), S
    the covariance of the channels; with one contrast |r| / standard deviation.

  It suits methods whose inference depends on the key (dropout, a sampled latent,
  diffusion). For a deterministic method all samples are equal and the variance is 0.

  Args:
    kind: 'mean', 'variance', 'mahalanobis' or 'mahalanobis_full'.
    samples: Number of inferences, at least 2.
    of: Output to sample: 'reconstruction' or 'prior' (the prior image).
    floor: For the two distances: standard deviation added to that of the samples, in
      image units; None for 0.02.
    sign: 'absolute', 'bright' or 'dark'. For 'mean' |x - mean|, x - mean (as Baur et
      al.) or mean - x; the other maps are 0 where x - mean has the other sign.

  Returns:
    A scorer of anomaly maps [B, *S, 1], 0 outside the brain mask.

  Raises:
    ValueError: `kind` or `sign` is unknown, `samples` is below 2, or `floor` is set for
      a kind that does not use it.
  """
  chosen = choose('kind', kind, KINDS, 'monte_carlo')
  if samples < 2:
    raise ValueError(f'monte_carlo needs at least 2 samples, not {samples}')
  side = signed(sign, 'monte_carlo')
  if floor is not None and not chosen.floored:
    raise ValueError(f"monte_carlo: kind '{kind}' has no floor, {floor} was given")
  floor = FLOOR if floor is None else floor

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    image = batch['image']
    statistics = chosen.gather(infer, batch, key, samples, of)
    value = chosen.value(image, *statistics, floor, side) * batch['mask']
    if chosen.signed:
      return value
    mean = statistics[0].mean(0) if chosen.stacked else statistics[0]
    return one_sided(value, image - mean, sign)

  return score
