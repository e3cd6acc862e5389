"""Ensembled cold-diffusion restorations of disentangled anomalies (DISYRE v2)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from uad_jax.augmentation import disentangled_lesions
from uad_jax.method import Batch, Method, Objective
from uad_jax.nets.diffusion_unet import DiffusionUNet
from uad_jax.nets.layers.slice_position import position_features
from uad_jax.ops import losses
from uad_jax.ops.choices import check_choice
from uad_jax.ops.limits import check_number, check_sizes, check_whole
from uad_jax.ops.residual_sign import POLARITIES


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (32, 64, 128),
  blocks: int = 1,
  attention: int = 16,
  heads: int = 2,
  textures: Sequence[str] = ('patch', 'texture'),
  intensities: Sequence[str] = ('shift',),
  share: float = 0.7,
  spread: float = 2.0,
  starts: Sequence[float] = (0.5, 1.0),
  steps: Sequence[int] = (1, 4),
  position: bool = True,
  polarity: str = 'both',
) -> Method:
  """Builds a network that removes anomalies, and averages several of its restorations.

  L = mean over the brain of (x_0 - f(x_t, t))^2, t uniform in (0, 1].

  Naval Marimont, Siomos, Baugh, Tzelepis, Kainz, Tarroni, "Ensembled cold-diffusion
  restorations for unsupervised anomaly detection", MICCAI 2024 (DISYRE v2), after
  Naval Marimont et al., "DISYRE: diffusion-inspired synthetic restoration for
  unsupervised anomaly detection", ISBI 2024. x_t is the healthy image x_0 with an
  anomaly of degree t, whose shape, foreign texture and intensity bias are drawn
  independently and grow by independent schedules (`disentangled_lesions`).

  At inference the scan x is taken for x_T of several degrees T (`starts`), and restored
  from each in several numbers N of steps by the sampler of cold diffusion (Bansal et
  al. 2022), s falling from T by T / N,
  x_{s - T/N} = x_s - (x - r) / N, r = f(x_s, s).
  Outputs: 'reconstruction' is the mean over the restorations of their ends at s = 0;
  'restored' [B, *S, 1] is the mean over the restorations, and over the steps of each,
  of |x - r|, averaged over channels.

  The method `cold_diffusion` is after the first paper: one kind of change in each
  anomaly, one schedule, linear in t, and one restoration, from degree 1.

  Departures: shapes, textures and biases are those of this package's painters, and a
  texture or a bias may be absent (`share`); the exponents of the schedules, the degrees
  and the numbers of steps are this package's choice; whole images instead of patches in
  a sliding window; a squared error (see `cold_diffusion`); the degree and the slice
  height enter by FiLM.

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    widths: Channels of the U-Net by level, finest first.
    blocks: Residual blocks at each level.
    attention: Longest edge in voxels of a grid with attention; 0 for no attention.
    heads: Number of attention heads.
    textures: Painters of the texture, names from `painters.TRAINING`.
    intensities: Painters of the intensity bias, likewise.
    share: Probability of each of the two, in [0, 1]; see `disentangled_lesions.draw`.
    spread: Largest exponent of the schedules, 1 or more.
    starts: Degrees T at which restorations start, in (0, 1].
    steps: Numbers of steps N; each start is restored in each number of steps.
    position: Give the slice height to the network.
    polarity: Allowed changes of intensity, see `synthetic_lesions.one_sided`.

  Raises:
    ValueError: An option is out of its range, or a name is unknown.
  """
  disentangled_lesions.check_options('disyre', textures, intensities, share, spread)
  check_choice('polarity', polarity, POLARITIES, 'disyre')
  check_whole('disyre: number of starts', len(starts), 1)
  check_whole('disyre: number of entries of steps', len(steps), 1)
  for start in starts:
    check_number('disyre: a start', start, 0, 1, above=True)
  check_sizes('disyre: steps', steps, ())
  net = DiffusionUNet(widths, channels, blocks, attention, heads)
  # One row an evaluation: degree s, 1 / N, and whether a restoration starts with it.
  evaluations = np.array(
    [
      (start * (1 - n / number), 1 / number, n == 0)
      for start in starts
      for number in steps
      for n in range(number)
    ],
    np.float32,
  )
  restorations = len(starts) * len(steps)

  def height(batch):
    return position_features(batch['position']) if position else None

  def restore(params, batch, image, time):
    """f(x_t, t): the image plus the change that the network predicts, [B, *S, C]."""
    inputs = image, 1000.0 * time, height(batch)
    return (image + net.apply({'params': params['unet']}, *inputs)) * batch['mask']

  def init(key, batch: Batch):
    time = jnp.ones(len(batch['image']))
    return {'unet': net.init(key, batch['image'], time, height(batch))['params']}, {}

  def loss(params, stats, batch: Batch, key, step):
    key_anomaly, key_time, key_degrees = jax.random.split(key, 3)
    image = batch['image'] * batch['mask']
    anomaly = disentangled_lesions.draw(
      key_anomaly, image, batch['mask'], textures, intensities, share, polarity
    )
    time = 1 - jax.random.uniform(key_time, (len(image),))  # in (0, 1]
    at = disentangled_lesions.degrees(key_degrees, time, spread)
    mixed = disentangled_lesions.corrupt(image, anomaly, at)
    weight = losses.voxel_weight(batch)
    restored = restore(params, batch, mixed, time)
    error = losses.masked_mean((image - restored) ** 2, weight)
    unchanged = losses.masked_mean((image - mixed) ** 2, weight)
    # Below 1 the restoration is closer to the healthy image than x_t is.
    ratio = jax.lax.stop_gradient(error / jnp.maximum(unchanged, 1e-12))
    return error, (stats, {'left': ratio})

  def infer(params, stats, batch: Batch, key):
    scan = batch['image'] * batch['mask']

    def step_down(state, evaluation):
      """One step of a restoration; it starts again from the scan with each of them."""
      image, change, residual = state
      degree, size, begins = evaluation
      image = jnp.where(begins > 0, scan, image)
      removed = scan - restore(params, batch, image, jnp.full(len(scan), degree))
      change = change + size / restorations * removed
      apart = jnp.abs(removed).mean(-1, keepdims=True)
      residual = residual + size / restorations * apart
      return (image - size * removed, change, residual), None

    start = scan, jnp.zeros_like(scan), jnp.zeros_like(scan[..., :1])
    (_, change, residual), _ = jax.lax.scan(step_down, start, evaluations)
    return {'reconstruction': scan - change, 'restored': residual}

  return Method(init, {'restorer': Objective(loss, ('unet',))}, infer)
