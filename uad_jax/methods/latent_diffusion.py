"""Diffusion of a VQ-VAE's codes (Pinaya et al. 2022, fast brain anomaly detection)."""

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
"""Of the mean squared error of the noise, which is about 1 for what is all noise."""

PLACES = 4096
"""Of the largest grid on which the U-Net attends: 64 x 64, 16 x 16 x 16."""


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
  """A VQ-VAE, a diffusion of its codes, and the codes that it finds unlikely healed.

  Pinaya et al., "Fast unsupervised brain anomaly detection and segmentation with
  diffusion models", MICCAI 2022. Stage 0 is that of `families.vqvae`; stage 1 learns
  L = mean (eps - eps'(z_t, t))^2 on codes z of unit variance; stage 2 counts, on the
  validation scans, the surprise at each place of the codes' grid, as much as it is
  brain: the mean over some times of that error, to which a step's Kullback-Leibler
  divergence is proportional.

  At inference what surprises more than a share `healthy` of validation places is drawn
  anew: from step `start`, with all other codes put back at each hop as they were
  (noised to the step's level), then decoded.

  Outputs: 'reconstruction' (what is healed), 'decoded' (of the codes as they are),
  'surprise' [B, *S, 1], 'healed' [B, 1, *S, C] and 'heal_mask' [B, 1, *S, 1] for the
  scorer 'healing'; random with the key. Departures: the U-Net is the project's; fewer
  looks and hops by default.

  Args:
    shape: Spatial shape of the images, which must halve for each width.
    channels: Number of contrasts.
    widths: Encoder widths, one a halving of the grid.
    units: Residual units at each.
    codes: Number of codes.
    size: Values of a code.
    decay: Of the averages that the codes follow.
    commitment: Weight of the commitment.
    unet_widths: Of the diffusion's U-Net, finest first.
    blocks: Its blocks by level.
    heads: Its attention heads.
    schedule: 'linear' or 'cosine'.
    steps: Of the diffusion.
    looks: First and last time at which surprise is measured, and at how many.
    start: Step from which the unlikely codes are drawn anew.
    hops: Evaluations of the network on that way.
    healthy: Share of validation places that count as likely.
  """
  first, last, many = looks
  if not 1 <= first <= last <= steps or not 1 <= start <= steps or many < 1:
    raise ValueError(
      f'latent_diffusion: looks {tuple(looks)} and start {start} must lie in 1 to '
      f'{steps}'
    )
  coarse, place = halved_grid(shape, len(widths)), (2 ** len(widths),) * len(shape)
  attention = min(max(coarse), round(PLACES ** (1 / len(shape))))
  net = vqvae.make(shape, channels, widths, units, codes, size, decay, commitment)
  unet = DiffusionUNet(unet_widths, size, blocks, attention, heads)
  kept = jnp.asarray(gaussian_diffusion.schedule(schedule, steps))
  times = jnp.asarray(np.linspace(first, last, many).round().astype(int))
  way = jnp.asarray(gaussian_diffusion.strides(start, hops))

  def scale(stats):
    """The deviation of the codes, each as often as it is used."""
    book = stats['codebook']
    share = book['count'] / book['count'].sum()
    mean = (share[:, None] * book['codes']).sum(0)
    spread = share[:, None] * (book['codes'] - mean[None]) ** 2
    return jnp.sqrt(spread.sum(0).mean() + 1e-8)

  def latent(params, stats, batch):
    _, tokens = net.encode(params, stats, batch)
    return tokens, stats['codebook']['codes'][tokens] / scale(stats)

  def estimate(params, x, time):
    time = time * (1000.0 / steps)
    return unet.apply({'params': params['unet']}, x, time)

  def apart(params, z, time, key):
    """(eps - eps')^2 at a time [B]; [B, *S', D]."""
    eps = jax.random.normal(key, z.shape)
    x = gaussian_diffusion.noised(z, eps, losses.per_example(kept[time], z))
    return (eps - estimate(params, x, time)) ** 2

  def surprise(params, z, key):
    """Its mean over the looks and the code's values; [B, *S']."""

    def look(now):
      time, key = now
      return apart(params, z, jnp.full(len(z), time), key).mean(-1)

    return jax.vmap(look)((times, jax.random.split(key, many))).mean(0)

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
    error = apart(params, z, time, key_noise).mean(range(1, z.ndim))
    return losses.example_mean(error, batch['weight']), (stats, {})

  def calibrate(params, stats, batch: Batch, key, step):
    _, z = latent(params, stats, batch)
    value = surprise(params, z, key)
    brain = nn.avg_pool(batch['mask'], place, place)[..., 0]
    weight = brain * losses.per_example(batch['weight'], value)
    counts = streaming_quantile.observe(stats['surprise'], value, weight, SURPRISES)
    return jnp.zeros(()), ({**stats, 'surprise': counts}, {})

  def heal(params, z, unlikely, key):
    """Codes [B, *S', D] with those `unlikely` [B, *S', 1] drawn anew."""
    key_start, key_way = jax.random.split(key)

    def hop(x, now):
      (time, before), key = now
      key_new, key_old = jax.random.split(key)
      eps = estimate(params, x, jnp.full(len(x), time))
      found = gaussian_diffusion.denoised(x, eps, kept[time])
      mean, variance = gaussian_diffusion.posterior(found, x, kept[time], kept[before])
      new = mean + jnp.sqrt(variance) * jax.random.normal(key_new, x.shape)
      old = gaussian_diffusion.noised(
        z, jax.random.normal(key_old, x.shape), kept[before]
      )
      return old + unlikely * (new - old), None

    x = gaussian_diffusion.noised(z, jax.random.normal(key_start, z.shape), kept[start])
    keys = jax.random.split(key_way, len(way))
    return jax.lax.scan(hop, x, (way, keys))[0]

  def infer(params, stats, batch: Batch, key):
    key_look, key_heal = jax.random.split(key)
    mask, book = batch['mask'], stats['codebook']['codes']
    tokens, z = latent(params, stats, batch)
    value = surprise(params, z, key_look)[..., None]
    limit = streaming_quantile.quantile(stats['surprise'], healthy, SURPRISES)
    unlikely = (value > limit).astype(jnp.float32)
    drawn = heal(params, z, unlikely, key_heal) * scale(stats)
    healed = net.decode(params, book[codebook.nearest(book, drawn)]) * mask

    def fine(values):
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
  return Method(init, objectives, infer)
