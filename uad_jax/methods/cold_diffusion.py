"""Cold diffusion method, which removes anomalies from a scan step by step (DISYRE)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uad_jax.augmentation import synthetic_lesions
from uad_jax.method import Batch, Method, Objective
from uad_jax.nets.diffusion_unet import time_features
from uad_jax.nets.layers.slice_position import position_features
from uad_jax.nets.unet import UNet
from uad_jax.ops import losses


def make(
  shape: tuple[int, ...],
  channels: int = 1,
  widths: Sequence[int] = (32, 64, 128, 256),
  blocks: int = 2,
  painters: Sequence[str] = ('patch', 'constant', 'shift', 'texture'),
  share: float = 0.8,
  steps: int = 5,
  position: bool = True,
  polarity: str = 'both',
) -> Method:
  """Builds a network that removes anomalies step by step, by cold diffusion.

  L = mean over the brain of (x - f(x_s, s))^2, x_s = x + s (x_1 - x), s in (0, 1].

  Naval Marimont, Baugh, Siomos, Tzelepis, Kainz, Tarroni, "DISYRE: diffusion-inspired
  synthetic restoration for unsupervised anomaly detection", ISBI 2024. x_1 is x with
  synthetic anomalies painted into it: blobs of another scan's tissue (foreign patches)
  and other `synthetic_lesions.PAINTERS`; the severity s takes the role of the time in
  diffusion. At inference the scan is taken as x_1 and restored by the sampler of cold
  diffusion (Bansal et al. 2022),
  x_{s - d} = x_s - D(r, s) + D(r, s - d), r = f(x_s, s), D(r, s) = r + s (x_1 - r),
  that is x_s - d (x_1 - r), in `steps` steps of d = 1 / steps.

  Outputs: 'reconstruction' is the image at s = 0, which is the mean of the r;
  'restored' [B, *S, 1] the mean over the steps of |x_1 - r|, averaged over channels,
  which exceeds the residual where x_1 - r changes its sign.

  Departures: x_1 stays the scan, while the authors' program estimates it again at each
  step and averages |x_s - r|; painters are this package's; the severity enters by FiLM
  in this package's U-Net; the error is squared, since the absolute error was lowest for
  no change at all (after 1 500 steps on the simulated cohort it was 1.001 times the
  error of the unchanged scan).

  Args:
    shape: Spatial shape of the images.
    channels: Number of contrasts.
    widths: Channels of the U-Net by level, finest first.
    blocks: Convolutions at each level.
    painters: Kinds of synthetic anomalies, names from `synthetic_lesions.PAINTERS`.
    share: Share of the training scans with synthetic anomalies; from the others the
      network learns to leave healthy scans unchanged.
    steps: Steps of the sampler, 1 or more.
    position: Give the slice height to the network.
    polarity: Allowed changes of intensity, see `synthetic_lesions.one_sided`.

  Raises:
    ValueError: `steps` is below 1.
  """
  if steps < 1:
    raise ValueError(f'cold_diffusion: {steps} steps; allowed are 1 or more')
  net = UNet(widths, channels, head_scale=1e-2, blocks=blocks)

  def condition(batch, severity):
    """Features of severity and slice height, the inputs of FiLM; [B, F]."""
    vector = time_features(1000.0 * severity, 64)
    height = position_features(batch['position'])
    return jnp.concatenate([vector, height], -1) if position else vector

  def restore(params, batch, image, severity):
    """f(x_s, s): the image plus the change that the network predicts, [B, *S, C]."""
    vector = condition(batch, severity)
    change = net.apply({'params': params['unet']}, image, None, vector)
    return (image + change) * batch['mask']

  def init(key, batch: Batch):
    vector = condition(batch, jnp.ones(len(batch['image'])))
    return {'unet': net.init(key, batch['image'], None, vector)['params']}, {}

  def loss(params, stats, batch: Batch, key, step):
    key_paint, key_severity = jax.random.split(key)
    image, mask = jnp.asarray(batch['image']), batch['mask']
    painted, _ = synthetic_lesions.paint(
      key_paint, image, mask, painters, share, polarity=polarity
    )
    severity = 1 - jax.random.uniform(key_severity, (len(image),))  # in (0, 1]
    mixed = image + losses.per_example(severity, image) * (painted - image)
    restored = restore(params, batch, mixed, severity)
    weight = losses.voxel_weight(batch)
    error = losses.masked_mean((image - restored) ** 2, weight)
    unchanged = losses.masked_mean((image - mixed) ** 2, weight)
    # Below 1 the restoration is closer to the healthy scan than the painted scan is.
    ratio = jax.lax.stop_gradient(error / jnp.maximum(unchanged, 1e-12))
    return error, (stats, {'left': ratio})

  def infer(params, stats, batch: Batch, key):
    scan = batch['image'] * batch['mask']

    def step_down(image, severity):
      restored = restore(params, batch, image, jnp.full(len(scan), severity))
      residual = jnp.abs(scan - restored).mean(-1, keepdims=True)
      return image - (scan - restored) / steps, residual

    severities = jnp.arange(steps, 0, -1) / steps
    healed, residuals = jax.lax.scan(step_down, scan, severities)
    return {'reconstruction': healed, 'restored': residuals.mean(0)}

  return Method(init, {'restorer': Objective(loss, ('unet',))}, infer)
