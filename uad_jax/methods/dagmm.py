"""Auto-encoder with a Gaussian mixture of its codes and errors (DAGMM).

Zong et al., "Deep autoencoding Gaussian mixture model for unsupervised anomaly
detection", ICLR 2018.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.detectors.families.feature_bank import on_grid, over_voxels, place_weight
from uad_jax.method import Array, Batch, Method, Objective
from uad_jax.methods.families.network_pair import features_of, init_pair
from uad_jax.nets.dagmm import MeanDecoding
from uad_jax.nets.discriminator import Discriminator
from uad_jax.nets.encoder_decoder import Encoder
from uad_jax.ops import full_covariance_mixture as mixture
from uad_jax.ops.full_covariance_mixture import Scatter
from uad_jax.ops.limits import check_number, check_whole
from uad_jax.ops.losses import masked_mean, voxel_weight

FLAT = 1e-4
"""Added to mean squares of a cell, so that a cell without intensity divides by no 0."""


def error_features(image: Array, expected: Array, mask: Array, grid) -> Array:
  """Computes the errors of a reconstruction in the cell of each place of a coarse grid.

  With sums over the brain voxels and contrasts of a cell: the relative Euclidean
  distance |x - x'| / |x| and the cosine similarity x . x' / (|x| |x'|). Both are 1
  where all images are 0.

  Args:
    image: x, [B, *S, C].
    expected: x', [B, *S, C].
    mask: Brain masks [B, *S, 1].
    grid: Spatial shape *s of the coarse grid.

  Returns:
    [B, *s, 2].
  """

  def mean(product: Array) -> Array:
    return on_grid(product.sum(-1, keepdims=True) * mask, grid) + FLAT

  error, square = mean((image - expected) ** 2), mean(image**2)
  norms = jnp.sqrt(square * mean(expected**2))
  cosine = mean(image * expected) / norms
  return jnp.concatenate([jnp.sqrt(error / square), cosine], -1)


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (32, 64, 64),
  latent: int = 4,
  components: int = 4,
  estimation: Sequence[int] = (16,),
  energy_weight: float = 0.1,
  penalty_weight: float = 0.005,
  floor: float = 1e-3,
) -> Method:
  """Builds an auto-encoder whose codes and errors follow a Gaussian mixture.

  A sample is a place of the coarse grid of the code, with the vector v of its code and
  of its two errors (`error_features`). The estimation network shares it among K
  components, gamma = softmax(M(v)); of the batch these shares make weights phi_k, means
  mu_k and covariances S_k. With the energy of a vector,

    E(v) = -log sum_k phi_k N(v; mu_k, S_k),

  all networks together minimise the mean over places of

    |x - x'|^2 + energy_weight E(v) + penalty_weight sum_k sum_j 1 / (S_k)_jj,

  the first term summed over the cell of a place. In stage 1, one pass over the training
  scans, the shares of all places make the mixture of the test. 'novelty' is E(v) under
  it, in nats, interpolated to voxels; 'latent' the code at each place.

  A place counts by its share of brain. Departures: places of scans in place of whole
  samples, as a map needs; the estimation network has ReLUs and no dropout; `floor` is
  added to all variances, which bounds the penalty.

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid; the decoder mirrors them.
    latent: Channels of the code, few: a covariance has (latent + 2)^2 values.
    components: K.
    estimation: Widths of the hidden layers of the estimation network.
    energy_weight: lambda_1 of the paper.
    penalty_weight: lambda_2, against components without extent.
    floor: Variance added to each component's.

  Raises:
    ValueError: An option is not allowed.
  """
  check_whole('dagmm: components', components, 1)
  check_number('dagmm: energy_weight', energy_weight, 0)
  check_number('dagmm: penalty_weight', penalty_weight, 0)
  check_number('dagmm: floor', floor, 0, above=True)
  encoder = Encoder(widths, latent)
  decoder = MeanDecoding(shape, channels, widths[::-1])
  estimator = Discriminator(components, estimation)

  def compress(params, batch: Batch) -> tuple[Array, Array, Array]:
    """Codes [B, *s, latent], reconstructions, and vectors [B, *s, latent + 2]."""
    mask, image = batch['mask'], batch['image'] * batch['mask']
    z = encoder.apply({'params': params['encoder']}, image)
    expected = decoder.apply({'params': params['decoder']}, z) * mask
    errors = error_features(image, expected, mask, z.shape[1:-1])
    return z, expected, jnp.concatenate([z, errors], -1)

  def init(key, batch: Batch):
    of_pair, of_estimator = jax.random.split(key)
    params = init_pair(of_pair, encoder, decoder, batch['image'], lambda z: (z,))
    vector = jnp.zeros((1, latent + 2))
    params['estimator'] = estimator.init(of_estimator, vector)['params']
    return params, {'mixture': mixture.empty(components, latent + 2)}

  def shared(params, batch: Batch, vectors: Array) -> tuple[Array, Array, Scatter]:
    """Vectors as a list [N, latent + 2], their weights [N], and their mixture."""
    weight = place_weight(batch, vectors.shape[1:-1]).ravel()
    rows = vectors.reshape(-1, latent + 2)
    gamma = jnp.exp(estimator.apply({'params': params['estimator']}, rows))
    return rows, weight, mixture.moments(rows, gamma * weight[:, None])

  def train(params, stats, batch: Batch, key, step):
    _, expected, vectors = compress(params, batch)
    rows, weight, moments = shared(params, batch, vectors)
    cell = channels * math.prod(shape) / math.prod(vectors.shape[1:-1])
    square = (batch['image'] - expected) ** 2
    variances = jnp.diagonal(mixture.covariances(moments, floor), axis1=1, axis2=2)
    terms = {
      'mse': masked_mean(square, voxel_weight(batch)),
      'energy': masked_mean(mixture.energy(rows, moments, floor), weight),
      'penalty': (1 / variances).sum(),
    }
    loss = cell * terms['mse'] + energy_weight * terms['energy']
    return loss + penalty_weight * terms['penalty'], (stats, terms)

  def fit(params, stats, batch: Batch, key, step):
    *_, moments = shared(params, batch, compress(params, batch)[2])
    merged = mixture.merge(stats['mixture'], moments)
    return jnp.zeros(()), (stats | {'mixture': merged}, {})

  def infer(params, stats, batch: Batch, key):
    z, expected, vectors = compress(params, batch)
    rows = vectors.reshape(-1, latent + 2)
    energy = mixture.energy(rows, stats['mixture'], floor)
    energy = energy.reshape(*vectors.shape[:-1], 1)
    return {
      'latent': z,
      'reconstruction': expected,
      'novelty': over_voxels(energy, batch['mask']),
      'features': features_of(encoder)(params, batch['image'] * batch['mask']),
    }

  objectives = {
    'autoencoder': Objective(train, ('encoder', 'decoder', 'estimator')),
    'mixture': Objective(fit, stage=1),
  }
  return Method(init, objectives, infer, {'mixture': 'bank'})
