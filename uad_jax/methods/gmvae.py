"""Variational auto-encoder with a Gaussian-mixture prior (GMVAE)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.method import Batch, Method, Objective
from uad_jax.methods.families.variational import sample
from uad_jax.nets import gmvae as gm
from uad_jax.nets.baur2021 import BOTTLENECKS
from uad_jax.nets.layers.dropout import apply, check_bayesian
from uad_jax.nets.layers.feature_taps import finest
from uad_jax.ops import gaussian_mixture, losses
from uad_jax.ops.choices import check_choice


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (32, 64, 128, 128),
  bottleneck: str = 'dense',
  latent: int = 128,
  latent_w: int = 1,
  clusters: int = 9,
  hidden: int = 64,
  c_lambda: float = 1.0,
  architecture: str = 'study',
  dropout: float = 0.0,
  bayesian: bool = False,
) -> Method:
  """Builds a VAE whose prior of the latent z is a mixture of Gaussians (GMVAE).

  Dilokthanakul et al. 2016, as You et al. 2019 and Baur et al. 2021 use it.

  L = sum |x - g(z)| + E_{p(c|z,w)} KL(q(z|x) || p(z|w,c)) + KL(q(w|x) || N(0, I))
      + max(KL(p(c|z,w) || uniform), c_lambda),

  z and w drawn from q. All terms are sums over a scan's brain voxels, latent values
  and, if the bottleneck is spatial, places of the coarse grid: every latent is then a
  map, and each place has its own cluster. Means are over the scans; padded examples do
  not count.

  The cluster's posterior p(c|z,w) is Bayes' rule with the density
  log N = 1/2 p - 1/2 log 2 pi - 1/2 exp(p) (z - mean)^2, p the log precision; both
  published programs have another factor of p in it.

  With architecture 'you2019', the method of You et al. ("Unsupervised lesion detection
  via image restoration with a normative prior", MIDL 2019): their network, and the
  negative log-likelihood of a normal whose log-variance by voxel is predicted in place
  of the absolute error.

  Outputs: 'elbo' [B] is the ELBO at the means of z and w (theirs is at a draw), without
  free bits for the clusters; 'rec' and 'kl' are its two terms. Restoration ascends it;
  with 'you2019' its reconstruction term is the squared error, with which they restore.
  'latent' and 'latent_w' are the means of z and w, 'latent_c' is the posterior of the
  clusters.

  Args:
    shape: Spatial shape of the images, which must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid.
    bottleneck: 'dense' or 'spatial'.
    latent: Values of z, or channels of its map (1 in both papers).
    latent_w: Values of w, or channels of its map.
    clusters: Number of clusters c.
    hidden: Units of the hidden layer of p(z|w,c).
    c_lambda: Free bits of the clusters, in nats: below them their KL has no gradient.
    architecture: 'study', the network of Baur et al. 2021, or 'you2019'.
    dropout: Dropout rate after the heads and after the decoder's dense layer.
    bayesian: Keep dropout on at inference, drawn from the key; a Monte Carlo scorer
      then averages over keys (Gal and Ghahramani 2016).

  Raises:
    ValueError: Bottleneck or architecture is unknown.
  """
  check_choice('bottleneck', bottleneck, BOTTLENECKS, 'gmvae')
  check_choice('architecture', architecture, gm.ENCODERS, 'gmvae')
  check_bayesian('gmvae', bayesian, dropout)
  encoder, decoder = gm.ENCODERS[architecture], gm.DECODERS[architecture]
  nets = {
    'encoder': gm.Recognition(widths, latent, latent_w, bottleneck, dropout, encoder),
    'clusters': gm.Clusters(clusters, latent, hidden),
    'decoder': gm.Generation(shape, channels, widths, bottleneck, dropout, decoder),
  }

  def encode(params, image, noise):
    return apply(nets['encoder'], params['encoder'], image, noise=noise)

  def decode(params, z, noise):
    if noise is not None:
      noise = jax.random.fold_in(noise, 1)  # other draws than the encoder's
    return apply(nets['decoder'], params['decoder'], z, noise=noise)

  def likelihood(image, expected, log_variance):
    """Misfit by voxel in training."""
    if log_variance is None:
      return jnp.abs(image - expected)
    return losses.gaussian_nll(image, expected, log_variance)

  def distance(image, expected, log_variance):
    """Misfit by voxel in the outputs 'rec' and 'elbo'."""
    residual = image - expected
    return jnp.abs(residual) if log_variance is None else residual**2

  def init(key, batch: Batch):
    keys = dict(zip(nets, jax.random.split(key, 3), strict=True))
    (z, w), encoder = nets['encoder'].init_with_output(keys['encoder'], batch['image'])
    variables = {
      'encoder': encoder,
      'clusters': nets['clusters'].init(keys['clusters'], w.mean),
      'decoder': nets['decoder'].init(keys['decoder'], z.mean),
    }
    return {name: v['params'] for name, v in variables.items()}, {}

  def terms(params, batch, q_z, q_w, z, w, free, misfit, noise):
    """Terms of the loss [B], p(c|z,w), and mean and log-variance of p(x|z)."""
    p_z = nets['clusters'].apply({'params': params['clusters']}, w)
    log_c = gaussian_mixture.cluster_posterior(z, p_z)
    per_cluster = gaussian_mixture.kl_between(
      gaussian_mixture.Normal(*(s[..., None, :] for s in q_z)), p_z
    )
    expected = decode(params, z, noise)
    parts = {
      'rec': misfit(batch['image'], *expected) * batch['mask'],
      'kl_z': (jnp.exp(log_c) * per_cluster).sum(-1),
      'kl_w': losses.kl_normal(*q_w),
      'kl_c': jnp.maximum(gaussian_mixture.kl_uniform(log_c), free),
    }
    parts = {name: losses.example_sum(value) for name, value in parts.items()}
    return parts, jnp.exp(log_c), expected

  def loss(params, stats, batch: Batch, key, step):
    noise = jax.random.fold_in(key, 2)  # apart from the draws of z and w
    q_z, q_w = encode(params, batch['image'], noise)
    key_z, key_w = jax.random.split(key)
    z, w = sample(key_z, *q_z), sample(key_w, *q_w)
    parts, _, _ = terms(params, batch, q_z, q_w, z, w, c_lambda, likelihood, noise)
    means = {k: losses.example_mean(v, batch['weight']) for k, v in parts.items()}
    return sum(means.values()), (stats, means)

  def infer(params, stats, batch: Batch, key):
    noise = key if bayesian else None
    q_z, q_w = encode(params, batch['image'], noise)
    parts, c, (expected, log_variance) = terms(
      params, batch, q_z, q_w, q_z.mean, q_w.mean, 0.0, distance, noise
    )
    rec, kl = parts['rec'], parts['kl_z'] + parts['kl_w'] + parts['kl_c']
    z = sample(jax.random.fold_in(key, 2), *q_z)
    outputs = {
      'sampled': decode(params, z, noise)[0] * batch['mask'],
      'latent': q_z.mean,
      'latent_w': q_w.mean,
      'latent_c': c,
      'reconstruction': expected * batch['mask'],
      'elbo': -rec - kl,
      'rec': rec,
      'kl': kl,
      'features': finest(nets['encoder'], params['encoder'], batch['image']),
    }
    if log_variance is not None:
      outputs['reconstruction_log_variance'] = log_variance
    return outputs

  return Method(init, {'gmvae': Objective(loss, tuple(nets))}, infer)
