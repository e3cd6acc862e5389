"""Auto-encoder trained to give an image and its reconstruction the same latent.

The constraint of Chen & Konukoglu 2018 (arXiv 1806.04972) without its critic, as
the comparative study of Baur et al. (Medical Image Analysis 69, 2021) runs it.
"""

from collections.abc import Sequence

from uad_jax.method import Batch, Method, Objective
from uad_jax.methods.families import latent_vector
from uad_jax.nets.baur2021 import WIDTHS
from uad_jax.nets.layers.dropout import check_bayesian


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = WIDTHS,
  latent: int = 128,
  dropout: float = 0.2,
  consistency: float = 1.0,
  bayesian: bool = False,
) -> Method:
  """Builds an auto-encoder trained to give image and reconstruction the same latent.

  L = mean (x - x')^2 + consistency mean (z - E(x'))^2, z = E(x), x' = D(z).

  The means are over the voxels of the brain and over the values of z. The gradient
  passes through both latents.

  Departures: errors outside the brain do not count, and the network sees zeros there;
  z is compared with E(x') before its dropout, since dropout alone would make them
  differ.

  Args:
    shape: Spatial shape of the images, which must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid.
    latent: Size of the latent vector.
    dropout: Dropout rate on the latent and after the decoder's dense layer.
    consistency: Weight of the distance between the two latents (rho in the paper).
    bayesian: Keep dropout on at inference, drawn from the key; a Monte Carlo scorer
      then averages over keys (Gal and Ghahramani 2016).
  """
  check_bayesian('cae', bayesian, dropout)
  net = latent_vector.study(shape, channels, widths, latent, dropout)

  def init(key, batch: Batch):
    return net.init(key, batch['image']), {}

  def loss(params, stats, batch: Batch, key, step):
    error, gap = latent_vector.errors(net, params, batch, key)
    return error + consistency * gap, (stats, {'mse': error, 'consistency': gap})

  objective = Objective(loss, ('encoder', 'decoder'))
  return Method(
    init, {'autoencoder': objective}, latent_vector.inference(net, bayesian)
  )
