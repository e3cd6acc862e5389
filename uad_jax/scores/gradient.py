"""Gradient scorer: gradient of the ELBO, or of an error, with respect to the image."""

import jax
import jax.numpy as jnp

from uad_jax.method import Array, Batch, Infer, Key, Scorer, need
from uad_jax.ops.choices import choose
from uad_jax.ops.filters import gaussian_smooth

NEEDS = {'elbo': 'elbo', 'kl': 'kl', 'rec': 'rec', 'error': 'reconstruction'}
"""Allowed values of `of`, each with the output of the method that it needs."""


def make(of: str = 'elbo', residual: bool = False, smooth: float = 0.0) -> Scorer:
  """Builds a scorer of the gradient of ELBO or error with respect to the image.

  It is |df / dx| at the image x. In Zimmerer et al. ("Unsupervised Anomaly Localization
  using Variational Auto-Encoders", MICCAI 2019) f is the ELBO, its Kullback-Leibler
  term 'kl' or its reconstruction term 'rec'. For methods without a likelihood there is
  'error': f = 1/2 sum (x - x')^2 over the brain mask, differentiated through the
  reconstruction x' too. With `residual` the derivative is multiplied by |x - x'|:
  with 'kl' this is the combined score of Zimmerer et al., with 'elbo' the score of Baur
  et al. 2021 (comparative study).

  Args:
    of: Function f to differentiate: 'elbo', 'kl', 'rec' or 'error'.
    residual: Whether the derivative is multiplied by the residual |x - x'|.
    smooth: Standard deviation of a Gaussian that smooths the derivative, in voxels.

  Returns:
    A scorer of anomaly maps [B, *S, 1]: channels averaged, 0 outside the brain mask.

  Raises:
    ValueError: `of` is unknown.
  """
  needs = (
    choose("'of'", of, NEEDS, 'gradient'),
    *(['reconstruction'] if residual else []),
  )

  def score(infer: Infer, batch: Batch, key: Key) -> Array:
    image, mask = jnp.asarray(batch['image']), batch['mask']

    def value(x):
      outputs = infer({**batch, 'image': x}, key)
      term, *rest = need(outputs, 'gradient', *needs)
      if of == 'error':
        term = 0.5 * mask * (x - term) ** 2
      return term.sum(), rest[0] if rest else x

    slope, expected = jax.grad(value, has_aux=True)(image)
    slope = gaussian_smooth(jnp.abs(slope), smooth)
    if residual:
      slope = slope * jnp.abs(image - expected)
    return (slope * mask).mean(-1, keepdims=True)

  return score
