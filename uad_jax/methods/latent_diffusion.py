"""Diffusion model of the latent codes of a VQ-VAE (Pinaya et al. 2022)."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from uad_jax.method import Batch, Method, Objective
from uad_jax.methods.families import vqvae
from uad_jax.nets.diffusion_unet import DiffusionUNet
from uad_jax.nets.layers.grid_sizes import halved_grid
from uad_jax.ops import codebook, gaussian_diffusion, losses, streaming_quantile

SURPRISES = streaming_quantile.Range(0.0, 8.0)
"""Range of the histogram of the surprise: the mean squared error of the estimated
noise, about 1 where the code tells nothing about the noise."""

PLACES = 4096
"""Places of the largest grid with attention in the U-Net: 64 x 64, 16 x 16 x 16."""


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (64, 128, 128),
  units: int = 2,
  codes: int = 32,
  size: int = 4,
  decay: float = 0.99,
  commitment: float = 0.25,
  unet_widths: Sequence[int] = (64, 128),
  blocks: int = 2,
  heads: int = 2,
  schedule: str = 'linear',
  steps: int = 1000,
  looks: tuple[int, int, int] = (400, 600, 5),
  start: int = 500,
  hops: int = 50,
  healthy: float = 0.975,
) -> Method:
  """Builds a VQ-VAE and a diffusion model that replaces unlikely codes of a scan.

  Pinaya et al., "Fast unsupervised brain anomaly detection and segmentation with
  diffusion models", MICCAI 2022. Stage 0 trains the VQ-VAE (`families.vqvae`). Stage 1
  learns L = mean (eps - eps'(z_t, t))^2 on codes z, scaled to unit variance. The
  surprise of a code is its L averaged over some time steps, high for an unlikely code
  (it is proportional to the Kullback-Leibler divergence of a step). Stage 2 fits the
  histogram of the surprise in the validation scans, each code weighted by the share of
  brain in its patch.

  At inference codes whose surprise exceeds the quantile `healthy` of the validation
  codes are resampled from step `start`, then decoded; after each reverse step all other
  codes are reset to those of the scan, noised to the level of the step.

  Outputs: 'reconstruction' (of the resampled codes), 'decoded' (of the scan's codes),
  'surprise' [B, *S, 1], and for the scorer 'healing' the reconstruction as 'healed'
  [B, 1, *S, C] and the resampled places as 'heal_mask' [B, 1, *S, 1]; random with the
  key. Departures: the U-Net is this package's; by default the surprise is measured at
  fewer time steps and the reverse chain is shorter.

  Args:
    shape: Spatial shape of the images, which must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one for each halving of the grid.
    units: Number of residual units on each grid.
    codes: Number of codes.
    size: Size of a code vector.
    decay: Share of the codes' moving averages that an update keeps, in [0, 1).
    commitment: Weight of the commitment term of the VQ-VAE.
    unet_widths: Channels of the diffusion's U-Net by level, finest first.
    blocks: Residual blocks of the U-Net at each level.
    heads: Attention heads of the U-Net.
    schedule: Noise schedule, 'linear' or 'cosine'.
    steps: Number of steps of the diffusion.
    looks: First and last step at which the surprise is measured; number of such steps.
    start: Step from which the unlikely codes are resampled.
    hops: Evaluations of the U-Net in the reverse chain.
    healthy: Share of the validation places that count as likely, in (0, 1).

  Raises:
    ValueError: `looks` or `start` is not in 1 to `steps`, or `looks` has no step.
  """
  first, last, number = looks
  if not 1 <= first <= last <= steps or not 1 <= start <= steps or number < 1:
    raise ValueError(
      f'latent_diffusion: looks {tuple(looks)} and start {start} must lie in 1 to '
      f'{steps}'
    )
  coarse, place = halved_grid(shape, len(widths)), (2 ** len(widths),) * len(shape)
  attention = min(max(coarse), round(PLACES ** (1 / len(shape))))
  net = vqvae.make(shape, channels, widths, units, codes, size, decay, commitment)
  unet = DiffusionUNet(unet_widths, size, blocks, attention, heads)
  kept = jnp.asarray(gaussian_diffusion.schedule(schedule, steps))
  times = jnp.asarray(np.linspace(first, last, number).round().astype(int))
  strides = jnp.asarray(gaussian_diffusion.strides(start, hops))

  def scale(stats):
    """Standard deviation of the codes, weighted by how often they are used."""
    book = stats['codebook']
    share = book['count'] / book['count'].sum()
    mean = (share[:, None] * book['codes']).sum(0)
    spread = share[:, None] * (book['codes'] - mean[None]) ** 2
    return jnp.sqrt(spread.sum(0).mean() + 1e-8)

  def latent(params, stats, batch):
    """Tokens of the scans and their codes, scaled to unit variance."""
    _, tokens = net.encode(params, stats, batch)
    return tokens, stats['codebook']['codes'][tokens] / scale(stats)

  def estimate(params, x, time):
    """Predicts the noise in x at step `time` [B]."""
    time = time * (1000.0 / steps)
    return unet.apply({'params': params['unet']}, x, time)

  def noise_error(params, z, time, key):
    """(eps - eps')^2 at step `time` [B]; [B, *S', D]."""
    eps = jax.random.normal(key, z.shape)
    x = gaussian_diffusion.noised(z, eps, losses.per_example(kept[time], z))
    return (eps - estimate(params, x, time)) ** 2

  def surprise(params, z, key):
    """Mean of `noise_error` over the looks and the values of a code; [B, *S']."""

    def look(inputs):
      time, key = inputs
      return noise_error(params, z, jnp.full(len(z), time), key).mean(-1)

    return jax.vmap(look)((times, jax.random.split(key, number))).mean(0)

  def init(key, batch: Batch):
    key_net, key_unet = jax.random.split(key)
    params, stats, z = net.init(key_net, batch['image'])
    denoiser = unet.init(key_unet, z, jnp.ones(len(z)))
    stats['surprise'] = streaming_quantile.empty(SURPRISES)
    return {**params, 'unet': denoiser['params']}, stats

  def diffuse(params, stats, batch: Batch, key, step):
    key_time, key_noise = jax.random.split(key)
    _, z = latent(params, stats, batch)
    time = jax.random.randint(key_time, (len(z),), 1, steps + 1)
    error = noise_error(params, z, time, key_noise).mean(range(1, z.ndim))
    return losses.example_mean(error, batch['weight']), (stats, {})

  def calibrate(params, stats, batch: Batch, key, step):
    _, z = latent(params, stats, batch)
    value = surprise(params, z, key)
    brain = nn.avg_pool(batch['mask'], place, place)[..., 0]
    weight = brain * losses.per_example(batch['weight'], value)
    counts = streaming_quantile.observe(stats['surprise'], value, weight, SURPRISES)
    return jnp.zeros(()), ({**stats, 'surprise': counts}, {})

  def heal(params, z, unlikely, key):
    """Resamples the codes z [B, *S', D] where `unlikely` [B, *S', 1] is 1."""
    key_start, key_hops = jax.random.split(key)

    def hop(x, inputs):
      (time, before), key = inputs
      key_new, key_old = jax.random.split(key)
      eps = estimate(params, x, jnp.full(len(x), time))
      clean = gaussian_diffusion.denoised(x, eps, kept[time])
      mean, variance = gaussian_diffusion.posterior(clean, x, kept[time], kept[before])
      new = mean + jnp.sqrt(variance) * jax.random.normal(key_new, x.shape)
      old = gaussian_diffusion.noised(
        z, jax.random.normal(key_old, x.shape), kept[before]
      )
      return old + unlikely * (new - old), None

    x = gaussian_diffusion.noised(z, jax.random.normal(key_start, z.shape), kept[start])
    keys = jax.random.split(key_hops, len(strides))
    return jax.lax.scan(hop, x, (strides, keys))[0]

  def infer(params, stats, batch: Batch, key):
    key_look, key_heal = jax.random.split(key)
    mask, book = batch['mask'], stats['codebook']['codes']
    tokens, z = latent(params, stats, batch)
    value = surprise(params, z, key_look)[..., None]
    limit = streaming_quantile.quantile(stats['surprise'], healthy, SURPRISES)
    unlikely = (value > limit).astype(jnp.float32)
    resampled = heal(params, z, unlikely, key_heal) * scale(stats)
    healed = net.decode(params, book[codebook.nearest(book, resampled)]) * mask

    def fine(values):
      """Values on the codes' grid, interpolated to the image's grid."""
      return jax.image.resize(values, (len(values), *shape, 1), 'linear')

    return {
      'latent': z,
      'features': net.features(params, batch),
      'reconstruction': healed,
      'decoded': net.decode(params, book[tokens]) * mask,
      'surprise': fine(value) * mask,
      'healed': healed[:, None],
      'heal_mask': fine(unlikely)[:, None],
    }

  objectives = {
    'autoencoder': net.objective,
    'diffusion': Objective(diffuse, ('unet',), stage=1),
    'calibration': Objective(calibrate, stage=2, split='val'),
  }
  kinds = {'codebook': 'codebook', 'surprise': 'histogram'}
  return Method(init, objectives, infer, kinds)
