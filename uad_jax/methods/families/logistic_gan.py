"""Losses of adversarial training with the logistic loss (Goodfellow et al. 2014).

A discriminator gives the log-odds that an example is real; it is trained by the binary
cross-entropy, and the generator to have its examples taken for real ones.
"""

import jax.numpy as jnp

from uad_jax.method import Array, Bound, Metrics
from uad_jax.ops.losses import binary_cross_entropy, example_mean


def discriminator_loss(
  real: Array, fake: Array, weight: Array
) -> tuple[Array, Metrics]:
  """Computes the loss -<log D(real)> - <log (1 - D(fake))> of a discriminator.

  Args:
    real: Log-odds of real examples, [B].
    fake: Log-odds of generated examples, [B].
    weight: [B], 0 for padding.

  Returns:
    The loss, and the metric 'accuracy', the share of examples that are classified
    rightly: 1/2 for a discriminator that is deceived.

  Examples:
    >>> loss, metrics = discriminator_loss(jnp.zeros(2), -jnp.ones(2), jnp.ones(2))
    >>> round(float(loss), 4), float(metrics['accuracy'])  # log 2 + log(1 + 1 / e)
    (1.0064, 0.5)
  """
  loss = binary_cross_entropy(real, 1.0) + binary_cross_entropy(fake, 0.0)
  right = 0.5 * ((real > 0).astype(jnp.float32) + (fake < 0))
  return example_mean(loss, weight), {'accuracy': example_mean(right, weight)}


def generator_loss(fake: Array, weight: Array) -> Array:
  """Computes the loss -<log D(fake)> of a generator, the one that does not saturate.

  Args:
    fake: Log-odds of generated examples, [B].
    weight: [B], 0 for padding.
  """
  return example_mean(binary_cross_entropy(fake, 1.0), weight)


def bound(metric: str = 'accuracy') -> Bound:
  """Creates the bound of a discriminator's accuracy, which warns when it has won."""
  trouble = 'a discriminator that is never deceived, whose gradient teaches nothing'
  return Bound(metric, high=0.999, sign_of=trouble, after=200)
