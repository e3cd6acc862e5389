"""Variational auto-encoder that also learns to fill in boxes erased from the image.

This is the context-encoding variational auto-encoder (ceVAE, Zimmerer et al. 2018).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.augmentation import lesion_shapes
from uad_jax.method import Batch, Method, Objective
from uad_jax.methods.families import variational
from uad_jax.nets.layers.dropout import check_bayesian
from uad_jax.ops import losses


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (32, 64, 128, 128),
  latent: int = 128,
  beta: float = 1.0,
  context: float = 1.0,
  boxes: int = 3,
  edge: float = 20 / 128,
  dropout: float = 0.0,
  bayesian: bool = False,
) -> Method:
  """Builds a VAE that also learns to fill in boxes erased from the image (ceVAE).

  L = sum |x - g(z)| + beta KL(q(z|x) || N(0, I)) + context sum |x - g(mu(x_ce))|.

  z is drawn from q(z|x); x_ce is x with one to three boxes set to zero, for which the
  mean of z is decoded without sampling. Both branches share encoder and decoder. Sums
  are over the brain voxels of a scan, means over the scans; padded examples do not
  count. Network and size of the boxes are from the study of Baur et al. 2021.

  As in Zimmerer et al. ("Context-encoding variational autoencoder for unsupervised
  anomaly detection", arXiv 1812.05941) the target of the context branch is x; in the
  study's program it is x_ce, so that the hole itself is learnt. Every example has its
  own boxes. Departing from the paper: the study's network, an absolute error, boxes of
  one size filled with zero.

  The outputs 'rec' and 'kl' [B], and 'elbo' = -rec - kl, serve the paper's score, the
  product of |x - x'| and the gradient of the KL or the ELBO with respect to the image.

  Args:
    shape: Spatial shape of the images, which must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid.
    latent: Size of the latent vector.
    beta: Weight of the KL divergence.
    context: Weight of the context branch (the filling in of boxes); at 0 it is a VAE.
    boxes: Largest number of boxes in a scan.
    edge: Edge length of a box, as a fraction of each axis.
    dropout: Dropout rate after each dense layer.
    bayesian: Keep dropout on at inference, drawn from the key; a Monte Carlo scorer
      then averages over keys (Gal and Ghahramani 2016).
  """
  check_bayesian('cevae', bayesian, dropout)
  nets = variational.study(shape, channels, widths, latent, dropout)

  def init(key, batch: Batch):
    return nets.init(key, batch), {}

  def error(params, batch, z, noise):
    """Sum of |x - g(z)| over the brain, [B]."""
    expected, _ = nets.decode(params, z, batch['position'], noise)
    return losses.example_sum(jnp.abs(batch['image'] - expected) * batch['mask'])

  def loss(params, stats, batch: Batch, key, step):
    key_z, key_boxes, *noise = jax.random.split(key, 4)
    mean, log_variance = nets.encode(params, batch['image'], noise[0])
    z = variational.sample(key_z, mean, log_variance)
    rec = error(params, batch, z, noise[0])
    kl = losses.example_sum(losses.kl_normal(mean, log_variance))
    hidden = lesion_shapes.boxes(key_boxes, batch['mask'][..., 0], boxes, edge)[
      ..., None
    ]
    mean, _ = nets.encode(params, batch['image'] * (1 - hidden), noise[1])
    restored = error(params, batch, mean, noise[1])
    parts = {'rec': rec, 'kl': kl, 'context': restored}
    parts = {k: losses.example_mean(v, batch['weight']) for k, v in parts.items()}
    total = parts['rec'] + beta * parts['kl'] + context * parts['context']
    return total, (stats, parts)

  objective = Objective(loss, ('encoder', 'decoder'))
  infer = variational.inference(nets, variational.absolute_error, bayesian)
  return Method(init, {'cevae': objective}, infer)
