"""Discriminator network that classifies latent vectors, for domain adaptation."""

from collections.abc import Sequence

import flax.linen as nn
import jax


class Discriminator(nn.Module):
  """Multi-layer perceptron with ReLUs that predicts the class of a vector.

  Attributes:
    classes: Number of classes K.
    widths: Units of the hidden layers.
  """

  classes: int
  widths: Sequence[int] = (64, 64)

  @nn.compact
  def __call__(self, z: jax.Array) -> jax.Array:
    """Computes the log-probabilities [..., K] of the classes of vectors [..., Z]."""
    for width in self.widths:
      z = nn.relu(nn.Dense(width)(z))
    return nn.log_softmax(nn.Dense(self.classes)(z))
