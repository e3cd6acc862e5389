"""Weighted similarities of two whole images: correlation and mutual information."""

import jax
import jax.numpy as jnp


def correlation(
  a: jax.Array, b: jax.Array, weight: jax.Array | None = None
) -> jax.Array:
  """Computes Pearson's correlation coefficient between the intensities of two images.

  It is cov(a, b) / (std(a) std(b)), for each pair of images in the batch.

  Args:
    a: [B, ...].
    b: As a.
    weight: Weights of the voxels in the moments, as a, not negative; None is 1.

  Returns:
    [B] in [-1, 1]; about 0 where an image is nearly constant.

  Examples:
    >>> a = jnp.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    >>> b = jnp.array([[2.0, 4.0, 6.0], [5.0, 4.0, 3.0]])
    >>> [round(value, 4) for value in correlation(a, b).tolist()]
    [1.0, -1.0]
  """
  a, b, weight = _flattened(a, b, weight)
  a = a - (weight * a).sum(-1, keepdims=True)
  b = b - (weight * b).sum(-1, keepdims=True)
  covariance = (weight * a * b).sum(-1)
  variances = (weight * a**2).sum(-1) * (weight * b**2).sum(-1)
  return covariance / jnp.sqrt(jnp.maximum(variances, 1e-12))


def mutual_information(
  moving: jax.Array, fixed: jax.Array, weight: jax.Array | None = None, bins: int = 32
) -> jax.Array:
  """Computes the mutual information of two images in nats.

  The result is [B], one value per pair of images (Mattes et al. 2003, equations 3 to
  5):
    p(m, f) = sum_x w(x) beta3(u(moving(x)) - m) beta0(u(fixed(x)) - f) / sum_x w(x),
    I = sum p(m, f) log(p(m, f) / (p(m) p(f))),
  with the cubic and the nearest B-spline as Parzen windows and u(v) = 1 + (bins - 3) v,
  so that no window passes an end of the histogram. It is differentiable with respect to
  `moving` and the weight; the derivative with respect to `fixed` is zero.

  Args:
    moving: [B, ...] in [0, 1]; values beyond are clipped.
    fixed: As moving.
    weight: Weights of the voxels, as moving, not negative; None is 1.
    bins: Number of bins along each axis of the joint histogram.

  Examples:
    >>> image = jnp.array([[0.0, 0.0, 1.0, 1.0]])
    >>> other = jnp.array([[0.0, 1.0, 0.0, 1.0]])
    >>> [round(float(mutual_information(x, image)[0]), 3) for x in (image, other)]
    [0.693, 0.0]
  """
  moving, fixed, weight = _flattened(moving, fixed, weight)
  centres = jnp.arange(bins, dtype=jnp.float32)[None, None]

  def distances(image):
    return 1 + (bins - 3) * jnp.clip(image, 0, 1)[..., None] - centres

  away = jnp.abs(distances(moving))
  cubic = (jnp.maximum(2 - away, 0) ** 3 - 4 * jnp.maximum(1 - away, 0) ** 3) / 6
  nearest = (jnp.floor(distances(fixed) + 0.5) == 0).astype(jnp.float32)
  joint = jnp.einsum('bnm,bnf->bmf', cubic, weight[..., None] * nearest)
  product = joint.sum(2, keepdims=True) * joint.sum(1, keepdims=True)
  # The floor keeps the term of an empty bin, and its derivative, finite.
  ratio = jnp.maximum(joint, 1e-10) / jnp.maximum(product, 1e-10)
  return (joint * jnp.log(ratio)).sum((1, 2))


MEASURES = {'ncc': correlation, 'mutual_information': mutual_information}
"""Similarities (a, b, weight) -> [B] by name; greater is more similar."""


def _flattened(a, b, weight):
  """Flattens two images and their weight to [B, N]; the weight then sums to 1."""
  weight = jnp.ones_like(a) if weight is None else weight
  a, b, weight = (x.reshape(len(x), -1) for x in (a, b, weight))
  return a, b, weight / jnp.maximum(weight.sum(-1, keepdims=True), 1e-6)
