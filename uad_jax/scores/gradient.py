"""Gradient of the model's evidence by the image: where a change would help most."""

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.ops.filters import gaussian_smooth

NEEDS = {'elbo': 'elbo', 'kl': 'kl', 'rec': 'rec', 'error': 'reconstruction'}
"""What may be derived, and the output that it takes."""


def make(of: str = 'elbo', residual: bool = False, smooth: float = 0.0) -> Scorer:
  """|d of / dx| in the mask, channels averaged; [B, *S, 1].

  Zimmerer et al. ("Unsupervised Anomaly Localization using Variational Auto-Encoders",
  MICCAI 2019): the derivative of the ELBO, of its Kullback-Leibler term, or of its
  reconstruction term 'rec'. 'error' is for methods without a likelihood: of
  1/2 sum (x - x')^2 in the mask, x' moving too. With `residual` times |x - x'|: with
  'kl' their combined score, with 'elbo' that of Baur et al. 2021 (comparative study).

  Args:
    of: One of `NEEDS`.
    residual: Multiply by the residual.
    smooth: Standard deviation of a Gaussian over the derivative, in voxels.
  """
  if of not in NEEDS:
    raise ValueError(f"gradient: unknown 'of' {of!r}; there are {', '.join(NEEDS)}")
  needs = (NEEDS[of], *(['reconstruction'] if residual else []))

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    image, mask = jnp.asarray(batch['image']), batch['mask']

    def value(x):
      outputs = infer({**batch, 'image': x}, key)
      found, *rest = need(outputs, 'gradient', *needs)
      if of == 'error':
        found = 0.5 * mask * (x - found) ** 2
      return found.sum(), rest[0] if rest else x

    slope, expected = jax.grad(value, has_aux=True)(image)
    slope = gaussian_smooth(jnp.abs(slope), smooth)
    if residual:
      slope = slope * jnp.abs(image - expected)
    return (slope * mask).mean(-1, keepdims=True)

  return score
