"""Network that predicts a posterior of the velocity fields from a template to a scan.

The probabilistic diffeomorphic VoxelMorph of Dalca et al. 2019 ("Unsupervised learning
of probabilistic diffeomorphic registration for images and surfaces"). The template is
the mean of the training scans; stages and outputs are those of
`families.template_registration`.
"""

from collections.abc import Sequence

import jax

from uad_jax.method import Array, Key, Method
from uad_jax.methods.families import template_registration
from uad_jax.methods.families.template_registration import Pair, fields_of
from uad_jax.nets.voxelmorph import Posterior, on_full_grid
from uad_jax.ops.limits import check_number, check_whole
from uad_jax.ops.losses import example_mean, example_sum
from uad_jax.registration import flow, velocity_posterior
from uad_jax.registration.warp import warp


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  bins: int = 1,
  encoder: Sequence[int] = (16, 32, 32, 32),
  decoder: Sequence[int] = (32, 32, 32, 32, 32),
  pairing: str = 'atlas',
  noise: float = 0.05,
  precision: float = 10.0,
  squarings: int = 7,
  samples: int = 8,
  smooth: float = 1.0,
  floor: float = 0.03,
) -> Method:
  """Builds a network that predicts the posterior of a velocity field, in 2-D or 3-D.

  The network gives mean mu and log-variance log s of the velocity z at each voxel of
  half the grid. For a moving image m and a fixed image f it minimises the negative
  evidence lower bound, with one draw z of the posterior,

    [sum_p (f - m o exp(z))^2 / (2 noise^2) + KL] / N,

  KL being the divergence from the prior N(0, (precision L)^-1) of smooth fields
  (`velocity_posterior.kl_smooth`) and N the number of voxels and channels of the image.
  Both terms are sums before they are divided: with 2^d times fewer voxels in the field
  than in the image, the program of the paper, which averages each over its own voxels,
  weighs the divergence more.

  At inference the deformation is exp(mu). The variance of the displacement is that of
  `samples` integrated draws; it changes with the key of the inference.

  Args:
    shape: Spatial shape of the scans.
    channels: Number of contrasts.
    bins: Slice heights at which the template is kept; 1 for volumes.
    encoder: Widths of the encoder, see `nets.voxelmorph.Features`.
    decoder: Widths of the decoder, one more than the encoder has, as the field has half
      the grid.
    pairing: 'atlas' warps the template onto scans in training, 'scans' scans onto
      others of the batch; at inference the template is warped.
    noise: Standard deviation of the image noise, in image units.
    precision: lambda, strength of the prior.
    squarings: Number of squarings in the integration of the velocity field.
    samples: Draws from which the variance of the displacement is computed.
    smooth: Standard deviation in voxels of the Gaussian that smooths the template.
    floor: Smallest standard deviation of the scans at a voxel, in image units.

  Raises:
    ValueError: The decoder has another number of widths, or a number is outside of its
      range.
  """
  for name, value in dict(noise=noise, precision=precision).items():
    check_number(f'voxelmorph_diff: {name}', value, 0, above=True)
  check_whole('voxelmorph_diff: squarings', squarings, 1)
  check_whole('voxelmorph_diff: samples', samples, 2)
  if on_full_grid(encoder, decoder):
    raise ValueError(
      f'voxelmorph_diff: decoder {tuple(decoder)}; allowed are {len(encoder) + 1} '
      'widths, one more than the encoder has'
    )
  network = Posterior(encoder, decoder)

  def posterior(params, pair: Pair) -> tuple[Array, Array]:
    return network.apply({'params': params['field']}, pair.moving, pair.fixed)

  def loss(params, stats, pair: Pair, key: Key):
    mean, log_variance = posterior(params, pair)
    velocity = velocity_posterior.sample(key, mean, log_variance)
    warped = warp(pair.moving, flow.exponential(velocity, shape, squarings))
    size = pair.fixed[0].size
    terms = {
      'data': example_sum((pair.fixed - warped) ** 2) / (2 * noise**2) / size,
      'kl': velocity_posterior.kl_smooth(mean, log_variance, precision) / size,
    }
    terms = {name: example_mean(x, pair.weight) for name, x in terms.items()}
    return terms['data'] + terms['kl'], (stats, terms)

  def predict(params, pair: Pair, key: Key) -> dict[str, Array]:
    mean, log_variance = posterior(params, pair)

    def drawn(key):
      velocity = velocity_posterior.sample(key, mean, log_variance)
      return flow.exponential(velocity, shape, squarings)

    draws = jax.lax.map(drawn, jax.random.split(key, samples))
    return {
      'displacement': flow.exponential(mean, shape, squarings),
      'displacement_variance': draws.var(0, ddof=1).sum(-1, keepdims=True),
      'velocity': mean,
      'velocity_log_variance': log_variance,
    }

  return template_registration.make_method(
    fields_of(network), loss, predict, shape, channels, bins, pairing, smooth, floor
  )
